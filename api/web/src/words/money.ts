/** Amounts as people read them. The API gives whole minor units: 55000 KRW is ₩55,000, 5500 USD is $55.00. */

export function money(amount: number, currency: string, language: string): string {
  const format = new Intl.NumberFormat(language, { style: 'currency', currency });
  return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}
