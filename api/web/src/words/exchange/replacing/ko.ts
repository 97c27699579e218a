/** The words of `en.ts`, in Korean. */

import type { ReplacingWords } from './en.ts';

export const ko: ReplacingWords = {
  replaces: (places: string, number: string, when: string) => `예매 ${number}(${when})의 ${places} 대신 고른 좌석입니다. 결제한 뒤 환불할 때까지 그 좌석도 고객님의 것입니다.`,
  giveBack: '새 좌석이 예매되었습니다. 이제 이전 좌석을 환불해 주세요.',
  backOld: '이전 좌석 환불하기',
  stays: '이전에 예매한 좌석은 그대로 고객님의 것입니다.',
  toOld: '이전 좌석 보기',
};
