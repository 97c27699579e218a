/** The words of `en.ts`, in Korean. */

import { counted } from '../ko.ts';
import type { SeatWords } from './en.ts';

const seats = (count: number) => `${count.toLocaleString('ko')}석`;

export const ko: SeatWords = {
  place: (row: string, number: string) => `${counted(row, '열')} ${counted(number, '번')}`,
  placeIn: (zone: string, row: string, number: string) => `${zone} ${counted(row, '열')} ${counted(number, '번')}`,
  seat: (place: string, category: string, price: string) => `${place}, ${category}, ${price}`,
  left: (count: number) => (count === 0 ? '남은 좌석 없음' : `${seats(count)} 남음`),
  from: (price: string) => `${price}부터`,
  notForSale: '판매하지 않음',
  states: { free: '빈 좌석', held: '선점', sold: '판매됨', blocked: '판매 제외' },

  best: {
    title: '좋은 자리 찾기',
    quantity: '매수',
    category: '등급',
    any: '모든 등급',
    zone: '구역',
    anyZone: '모든 구역',
    adjacent: '나란히 앉기',
    hold: '좋은 자리 선점',
    others: '다른 자리 보기',
  },

  legend: {
    title: '가격',
    hint: '가격을 고르면 그 좌석만 보입니다.',
    all: '모든 가격',
    states: { free: '선택 가능', mine: '내 좌석', held: '다른 사람이 선점', sold: '판매됨' },
  },

  map: {
    title: '좌석 배치도',
    hint: '배치도 아래의 목록에서도 같은 좌석을 고를 수 있습니다.',
    stage: '무대',
    closer: '확대',
    farther: '축소',
    whole: '전체 보기',
    floors: '층',
    minimap: '지금 보이는 부분',
    zoomFirst: '좌석이 작아서 배치도를 확대했습니다. 좌석을 다시 눌러 주세요.',
    polling: '좌석 현황을 몇 초마다 새로 확인합니다.',
  },

  list: {
    title: '목록으로 고르기',
    sections: '구역',
    none: '이 가격으로 그만큼 남은 구역이 없습니다.',
    rows: (zone: string) => `${zone} 열 목록`,
    row: (label: string) => counted(label, '열'),
    seats: (zone: string, row: string) => `${zone} ${counted(row, '열')}`,
    back: '모든 구역',
    backToRows: (zone: string) => `${zone} 열 목록`,
    fewer: '한 자리 빼기',
    another: '한 자리 더하기',
    places: (name: string) => `${name} 자리 수`,
  },

  basket: {
    title: '선택한 좌석',
    empty: '좌석을 누르면 바로 선점됩니다.',
    total: '합계',
    pay: '결제하기',
    wanted: '선점하는 중…',
    waiting: (seconds: number) => `지금 접속이 많습니다. ${seconds}초 뒤에 다시 시도합니다.`,
    logIn: '아직 선점되지 않은 좌석입니다.',
    holdThem: '로그인하고 선점하기',
    take: (name: string) => `${name} 빼기`,
    extended: '선점 시간을 늘렸습니다.',
    held: (count: number) => `${seats(count)}을 선점했습니다.`,
    released: '선점한 좌석이 없습니다.',
    expired: '시간이 지나 선점이 풀렸습니다.',
    again: '같은 좌석 다시 선점',
    limit: (count: number) => `1인당 최대 ${seats(count)}까지 예매할 수 있습니다.`,
    more: '선점하신 다른 좌석',
  },

  gone: {
    one: (place: string) => `${place} 좌석이 방금 나갔습니다.`,
    several: (count: number) => `${seats(count)}이 방금 나갔습니다.`,
    nearest: (places: string) => `같은 가격의 가장 가까운 자리: ${places}`,
    take: '이 자리로 하기',
    none: '같은 가격의 다른 자리가 없습니다.',
    dismiss: '닫기',
  },

  lone: {
    says: '옆에 한 자리만 남게 됩니다.',
    shift: (places: string) => `옮기기: ${places}`,
  },

  sale: {
    opensAt: (when: string) => `${when}에 판매를 시작합니다. 그때까지 좌석을 둘러보실 수 있습니다.`,
    closed: '이 회차는 판매가 마감되었습니다.',
    cancelled: '취소된 회차입니다.',
    turn: (left: string) => `기다리는 분이 있습니다. ${left} 안에 좌석을 선점하지 않으면 차례가 지나갑니다.`,
  },

  house: (left: number) => `전체 ${seats(left)} 남음.`,
};
