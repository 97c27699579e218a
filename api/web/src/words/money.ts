/** Amounts as people read them. The API gives whole minor units: 55000 KRW is ₩55,000, 5500 USD is $55.00. */

/** How many whole units the amount is: what providers with decimals of their own want. */
export function major(amount: number, currency: string): number {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency });
  return amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2);
}

export function money(amount: number, currency: string, language: string): string {
  return new Intl.NumberFormat(language, { style: 'currency', currency }).format(major(amount, currency));
}
