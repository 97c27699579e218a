/** Amounts as people read them. The API gives whole minor units: 55000 KRW is ₩55,000 or 55,000원, 5500 USD is $55.00. */

// By ISO 4217, as the server has it (`minor_units.py`). Browsers would leave decimals away where shops do (IDR, HUF): by a hundred
// times, that is another price than the one that is charged.
const WITHOUT_DECIMALS = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
const WITH_THREE = 'BHD IQD JOD KWD LYD OMR TND';

/** How many digits of the currency's whole unit its minor units are. */
export function digitsOf(currency: string): number {
  if (WITHOUT_DECIMALS.includes(currency)) return 0;
  return WITH_THREE.includes(currency) ? 3 : 2;
}

/** How many whole units the amount is: what providers with decimals of their own want. */
export function major(amount: number, currency: string): number {
  return amount / 10 ** digitsOf(currency);
}

export function money(amount: number, currency: string, language: string): string {
  if (currency === 'KRW' && language === 'ko') return `${amount.toLocaleString('ko')}원`; // as on every ticket there, and in our mails
  const digits = digitsOf(currency);
  const form = { style: 'currency', currency, minimumFractionDigits: digits, maximumFractionDigits: digits } as const;
  return new Intl.NumberFormat(language, form).format(major(amount, currency));
}
