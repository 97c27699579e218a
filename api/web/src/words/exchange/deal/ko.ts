/** The words of `en.ts`, in Korean. */

import type { DealWords } from './en.ts';

export const ko: DealWords = {
  same: '가격이 같습니다. 더 내실 금액이 없습니다.',
  now: '지금 바꾸기',
  done: '좌석을 바꾸었습니다.',

  alike: '가격이 같습니다.',
  costs: (now: string, before: string) => `합계 ${now} (지금 ${before})`,
  moveOrder: '새 좌석을 먼저 선점하고 지금 좌석의 선점을 취소합니다. 결제는 그다음입니다.',
  move: '이 회차로 바꾸기',
  moved: (when: string) => `${when} 회차의 좌석으로 바꾸었습니다.`,

  toPay: '지금 결제할 새 좌석',
  comesBack: '지금 좌석 환불',
  afterFee: (fee: string, percent: number) => `수수료 ${fee}(${percent}%)를 뺀 금액`,
  dearer: '차액으로 내실 금액',
  cheaper: '차액으로 돌려받으실 금액',
  order: '먼저 새 좌석을 선점하고 결제한 다음 지금 좌석을 환불합니다. 그때까지는 두 좌석이 모두 고객님의 것입니다.',
  hold: '새 좌석 선점하고 결제하기',
  sameOnly: '이 좌석은 가격이 같은 좌석으로만 바꿀 수 있습니다.',
  limit: '지금 좌석은 환불할 때까지 매수에 포함됩니다. 가격이 같은 좌석으로는 바꿀 수 있습니다.',
};
