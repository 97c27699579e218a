/** The words of `en.ts`, in Korean. */

import type { ExchangeWords } from './en.ts';

const seats = (count: number) => `${count.toLocaleString('ko')}석`;

export const ko: ExchangeWords = {
  title: '좌석 또는 회차 변경',
  lead: '새 좌석이 정해질 때까지 지금 좌석은 그대로 고객님의 것입니다.',
  back: '예매로 돌아가기',
  notTitle: '바꿀 수 없는 좌석입니다',
  not: '아직 시작하지 않은 회차에서 보유하신 좌석만 바꿀 수 있습니다.',

  date: '회차',
  yourDate: (when: string) => `${when} · 예매한 회차`,
  left: (when: string, count: number) => `${when} · ${seats(count)} 남음`,
  soldOut: (when: string) => `${when} · 매진`,
  noOther: '지금 판매 중인 다른 회차가 없습니다.',
  wait: '이 회차는 기다리는 분이 있습니다. 차례가 되면 골라 주세요.',

  choice: '좌석 교환',
  hint: '배치도나 목록에서 빈 좌석을 누르면 지금 좌석 하나와 바뀝니다.',
  hintThere: (count: number) => `배치도나 목록에서 ${seats(count)}을 골라 주세요.`,
  yours: '지금 좌석',
  fresh: '새 좌석',
  givenUp: '내놓음',
  keep: (name: string) => `${name} 그대로 두기`,
  kept: '그대로 두기',
  takeOut: (name: string) => `${name} 빼기`,
  missing: (count: number) => `${seats(count)}을 더 골라 주세요.`,
  gone: (places: string) => `${places}: 방금 다른 분이 가져갔습니다. 지금 좌석은 그대로입니다. 다른 좌석을 골라 주세요.`,

  same: '가격이 같습니다. 더 내실 금액이 없습니다.',
  now: '지금 바꾸기',
  done: '좌석을 바꾸었습니다.',

  costs: (now: string, before: string) => `${before} 대신 모두 ${now}입니다.`,
  moveOrder: '새 좌석을 먼저 선점하고 지금 좌석을 내놓습니다. 결제는 그다음입니다.',
  move: '이 회차로 바꾸기',
  moved: (when: string) => `${when} 회차의 좌석으로 바꾸었습니다.`,

  toPay: '지금 결제할 새 좌석',
  comesBack: '지금 좌석 환불',
  afterFee: (fee: string, percent: number) => `수수료 ${fee}(${percent}%)를 뺀 금액`,
  dearer: '모두 합해 더 내실 금액',
  cheaper: '모두 합해 돌려받을 금액',
  order: '먼저 새 좌석을 선점하고 결제한 다음 지금 좌석을 반납합니다. 그때까지는 두 좌석이 모두 고객님의 것입니다.',
  hold: '새 좌석 선점하고 결제하기',
  sameOnly: '이 좌석은 가격이 같은 좌석으로만 바꿀 수 있습니다.',
  limit: '지금 좌석은 환불할 때까지 매수에 포함됩니다. 가격이 같은 좌석으로는 바꿀 수 있습니다.',
};
