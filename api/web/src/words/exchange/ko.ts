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
  givenUp: '반납',
  keep: (name: string) => `${name} 그대로 두기`,
  kept: '그대로 두기',
  takeOut: (name: string) => `${name} 빼기`,
  missing: (count: number) => `${seats(count)}을 더 골라 주세요.`,
  gone: (places: string) => `${places}: 방금 다른 분이 가져갔습니다. 지금 좌석은 그대로입니다. 다른 좌석을 골라 주세요.`,
};
