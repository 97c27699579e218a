/** `en.ts`를 한국어로: 대기열의 문구입니다. */

import type { QueueWords } from './en.ts';

const people = (count: number) => `${count.toLocaleString('ko')}명`;

export const ko: QueueWords = {
  title: '대기열',

  opensIn: '판매 시작까지',
  opensAt: (when: string) => `${when} 시작`,
  here: (count: number) => (count === 1 ? '지금은 혼자 기다리고 계십니다.' : `${people(count)}이 기다리고 있습니다.`),
  lot: '순서는 판매가 시작될 때 추첨합니다. 그때까지 들어온 모든 분의 기회가 같으며, 먼저 왔는지는 상관없습니다.',
  drawing: '판매가 시작되었습니다. 순서를 추첨하고 있습니다…',
  ahead: (count: number) => `앞에 ${people(count)}`,
  next: '다음 차례입니다',
  inTitle: (count: number) => `앞에 ${people(count)}`,
  behind: (count: number) => (count === 0 ? '뒤에 기다리는 사람이 없습니다.' : `뒤에 ${people(count)}`),
  wait: { minutes: (count: number) => (count <= 1 ? '약 1분' : `약 ${count}분`), hours: (count: number) => `약 ${count}시간` },
  waitTitle: '예상 대기 시간',
  spoken: (place: string, wait: string) => `${place}, 예상 대기 시간 ${wait}.`,
  kept: '새로 고침을 해도, 다른 기기로 들어와도 순서는 그대로입니다. 이 화면을 열어 두시면 차례가 될 때 좌석 선택으로 넘어갑니다.',
  sound: '브라우저가 허용하면 소리로도 알려 드립니다.',
  hearIt: '들어 보기',

  admitted: '차례가 되었습니다',
  admittedTitle: '차례가 되었습니다!',
  admittedDetail: (left: string) => `지금 좌석을 골라 주세요. ${left} 안에 첫 좌석을 선점하셔야 합니다.`,
  admittedFreely: '기다리는 사람이 없습니다. 좌석을 골라 주세요.',
  choose: '좌석 선택',
  goOn: '계속하기',
  movesIn: (seconds: number) => `${seconds}초 뒤에 좌석 선택으로 넘어갑니다.`,

  interrupted: '연결이 끊어졌습니다. 순서는 그대로이며, 이 화면이 계속 다시 연결합니다.',
  interruptedBusy: '지금은 순서를 확인할 수 없습니다. 순서는 그대로이며, 이 화면이 계속 다시 확인합니다.',
  soldOut: '지금은 모든 좌석이 판매되었거나 선점되어 있습니다',
  soldOutDetail: '결제하지 않은 좌석은 다시 나오므로 기다려 볼 만합니다. 원하시는 만큼 순서가 유지됩니다.',
  otherDates: '다른 일정',

  left: '대기를 그만두었습니다',
  leftDetail: '순서는 뒤에 기다리던 분께 넘어갔습니다.',
  over: '차례가 지났습니다',
  overDetail: '제때 들어오지 않았거나 좌석을 선점하지 않아 다음 분이 입장했습니다. 맨 뒤에서 다시 기다리실 수 있습니다.',
  joinAnew: '다시 줄 서기',
  closed: '판매가 마감된 회차입니다',
  cancelled: '취소된 회차입니다',
  toShow: '공연 보기',
  lookAround: '기다리는 동안 좌석 둘러보기',

  leave: '대기 그만두기',
  leaveSure: '지금 순서를 잃습니다. 다시 오시면 맨 뒤에서 기다립니다.',
  leaveNow: '네, 그만둘게요',
  stay: '계속 기다리기',

  seats: '남은 좌석',
  leftOf: (count: number) => (count === 0 ? '남은 좌석 없음' : `${count.toLocaleString('ko')}석 남음`),
};
