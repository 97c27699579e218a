/** 일정, 가격, 환불 규정 화면의 문구. `en.ts`와 키가 같습니다. */

import type { TermsWords } from './en.ts';

const places = (count: number) => `${count.toLocaleString('ko')}석`;
const dates = (count: number) => `${count}회`;
const bookings = (count: number) => `예매 ${count.toLocaleString('ko')}건`;

export const ko: TermsWords = {
  schedule: {
    newTitle: '새 일정',
    newTitleOf: (title: string) => `새 일정: ${title}`,
    title: '일정과 판매 조건',
    titleOf: (title: string, when: string) => `${title}, ${when}`,
    noVenue: '공연할 수 있는 공연장이 아직 없습니다.',
    toVenue: '첫 단계로: 공연장',
    when: '일시와 장소',
    venue: '공연장',
    start: '첫 회차',
    zone: (zone: string) => `공연장 현지 시각(${zone.replaceAll('_', ' ')})`,
    frequency: '반복',
    frequencies: { once: '한 번', daily: '매일', weekly: '요일마다', rule: '규칙으로(RFC 5545)' },
    weekdays: '요일',
    until: '마지막 날',
    rule: '규칙',
    ruleHint: '예: FREQ=WEEKLY;BYDAY=FR,SA;COUNT=8. 다음 줄에 EXDATE와 RDATE를 쓸 수 있습니다.',
    furtherTimes: '같은 날 다른 시각',
    furtherTime: (number: number) => `${number}번째 시각`,
    addTime: '같은 날 한 번 더',
    removeTime: '이 시각 빼기',
    onceAt: (times: string) => `한 번, ${times}`,
    dailyAt: (times: string, until: string) => (until === '' ? `매일 ${times}` : `매일 ${times}, ${until}까지`),
    weeklyAt: (days: string, times: string, until: string) => (until === '' ? `매주 ${days} ${times}` : `매주 ${days} ${times}, ${until}까지`),
    dates: (count: number, conflicts: number) => (conflicts === 0 ? `모두 ${dates(count)}, 공연장이 비어 있습니다.` : `모두 ${dates(count)}, 그중 ${conflicts}회가 겹칩니다.`),
    limitLeft: (left: number) => `지금은 ${dates(left)}까지 더 만들 수 있습니다.`,
    overlaps: '앞 회차가 끝나기 전에 시작합니다.',
    inTheWay: (title: string, venue: string, when: string) => `겹치는 일정: ${title}, ${venue}, ${when}`,
    leaveOut: '빼기',
    leaveOutDate: (when: string) => `${when} 빼기`,
    leftOut: '뺀 일정:',
    putBack: (when: string) => `${when} 다시 넣기`,
    allDates: (count: number) => `${dates(count)} 모두 보기`,
    noDatesYet: '시작 일시를, 반복한다면 마지막 날도 정하면 모든 일정이 여기에 나타납니다.',
    prices: '가격',
    currency: '통화',
    priceOf: (category: string) => `${category} 가격`,
    places,
    placesAt: (count: number, price: string) => `${places(count)}, 각 ${price}`,
    forSale: '판매',
    noAmount: '이 통화의 금액이 아닙니다.',
    soldOut: '모두 팔리면 한 회 매출',
    selling: '판매',
    opens: '판매 시작',
    opensNow: '바로',
    opensLater: '시각 지정 …',
    opensAt: '판매 시작 시각',
    closes: '판매 마감',
    closesBefore: (minutes: number) => {
      if (minutes === 0) return '공연 시작 때';
      if (minutes % 1440 === 0) return `공연 시작 ${minutes / 1440}일 전`;
      if (minutes % 60 === 0) return `공연 시작 ${minutes / 60}시간 전`;
      return `공연 시작 ${minutes}분 전`;
    },
    limit: '1인당 최대 좌석 수',
    limitHint: '비우면 제한이 없습니다.',
    hold: '결제 전 좌석 선점 시간(분)',
    holdHint: '0.5분에서 60분까지.',
    waitingRoom: '대기열',
    waitingRoomHint: '예매가 몰릴 때 차례로 좌석을 고르게 합니다. 판매 시작 때 순서를 추첨하고, 그 뒤에는 온 순서대로 입장합니다. 붐비지 않으면 고객은 느끼지 못합니다.',
    create: (count: number) => (count === 1 ? '판매 시작하기' : `${dates(count)} 판매 시작하기`),
    toLive: '판매 현황 보기',
    isCancelled: '취소된 회차입니다. 조건을 더는 바꿀 수 없습니다.',
    move: '일시 변경',
    moveHint: '예매한 고객의 좌석은 그대로이며, 새 일시를 알려 드립니다.',
    newStart: '새 시작 일시',
    moves: (count: number, seats: number) => `${bookings(count)}(${places(seats)})이 함께 옮겨집니다. 고객에게 메일로 알리며, 조건에 따라 수수료 없이 환불받을 수 있습니다.`,
    movesNobody: '아직 예매한 사람이 없어 알릴 고객이 없습니다.',
    moveNow: '일시 변경하기',
    moved: '일시를 변경했습니다.',
    withdraw: '이 회차 삭제',
    withdrawHint: '좌석을 선점했거나 산 사람이 없을 때만 삭제할 수 있습니다. 그렇지 않으면 판매 현황 화면에서 취소해 주세요. 모두 전액을 돌려받습니다.',
    withdrawNow: '삭제하기',
    withdrawn: '회차를 삭제했습니다.',
  },

  refunds: {
    title: '고객이 오지 못하게 되면',
    policy: '환불 조건',
    policies: {
      usual: '공연일에 가까울수록 적게(국내 예매처 기준)',
      free: '공연 시작 전까지 전액',
      final: '환불 없음',
      own: '직접 정하기',
    },
    step: (days: number, fee: number) => {
      const until = days === 0 ? '공연 시작 전까지' : `공연 ${days}일 전까지`;
      return fee === 0 ? `${until} 전액 환불` : fee === 100 ? `${until} 환불 없음` : `${until} 수수료 ${fee}%를 빼고 환불`;
    },
    after: '그 뒤에는 환불되지 않습니다.',
    final: '환불되지 않습니다.',
    days: '며칠 전까지',
    fee: '수수료(%)',
    addStep: '단계 추가',
    remove: '삭제',
    removeStep: (number: number) => `${number}단계 삭제`,
    whenMoved: '일시를 변경하면 공연 시작 전까지 수수료 없이 환불받을 수 있습니다',
  },
};
