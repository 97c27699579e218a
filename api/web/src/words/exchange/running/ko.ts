/** The words of `en.ts`, in Korean. */

import type { RunningWords } from './en.ts';

export const ko: RunningWords = {
  holds: (places: string) => `이 예매의 좌석 대신 선점한 좌석이 있습니다: ${places}`,
  goOn: '이어서 결제하기',
  holdsBesides: (places: string) => `다른 예매로 선점한 좌석이 있습니다: ${places}`,
  toOther: '그 예매 보기',
};
