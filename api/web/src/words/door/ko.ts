/** 입장 화면의 문구. `en.ts`와 키가 같습니다. */

import type { en } from './en.ts';

const people = (count: number) => `${count.toLocaleString('ko')}명`;

export const ko: typeof en = {
  title: '입장',
  of: (title: string, at: string) => `${title} · ${at}`,
  ready: '티켓을 스캔하세요',
  readyHint: '코드를 카메라에 대거나 스캐너를 쓰거나, 코드를 입력하고 Enter를 누르세요.',
  code: '코드',
  read: '확인',
  gate: '출입구',
  gateHint: '같은 티켓이 두 번 오면 표시됩니다.',
  people: '지금 입장하는 인원',
  peopleAll: '티켓의 전원',

  camera: '카메라',
  cameraStart: '카메라 사용',
  cameraStop: '카메라 끄기',
  cameraDenied: '카메라를 쓸 수 없습니다. 브라우저에서 허용하거나 코드를 입력하세요.',
  cameraOverHttp: '암호화되지 않은 주소(http)에서는 카메라를 쓸 수 없습니다. https 주소로 열거나 코드를 입력하세요.',
  cameraNone: '카메라가 없습니다. 코드를 입력하거나 스캐너를 쓰세요.',

  results: {
    admitted: '입장하세요',
    already_in: '이미 입장',
    refunded: '환불됨',
    replaced: '교체된 티켓',
    other_schedule: '다른 회차',
    not_genuine: '유효하지 않은 코드',
    unknown: '확인할 수 없음',
  },
  admitted: (count: number) => people(count),
  entered: (entered: number, of: number) => `${of}명 중 ${entered}명 입장`,
  alreadyAt: (time: string, gate: string | null) => (gate === null ? `${time}에 입장했습니다` : `${time}에 ${gate} 출입구로 입장했습니다`),
  placeIn: '이 자리는 이미 입장했습니다.',
  leftOnly: (left: number) => `이 티켓으로는 ${people(left)}만 더 입장할 수 있습니다`,
  refundedWhy: '환불되었거나 결제되지 않은 예매입니다.',
  cancelledWhy: '취소된 회차입니다.',
  replacedWhy: '이 예매에는 새 티켓이 있습니다. 새 티켓을 요청하세요.',
  otherWhy: (title: string, at: string) => `${title}, ${at} 티켓입니다`,
  notGenuineWhy: '여기서 만든 코드가 아니거나 변조되었습니다.',
  notOnList: '이 기기의 목록에 없습니다. 연결되면 다시 확인하세요.',
  unknownWhy: '이 기기에 아직 목록이 없습니다. 연결되면 다시 확인하세요.',
  offlineVerdict: '이 기기에서만 확인함',

  undo: '입장 취소',
  undoOne: '되돌리기',
  undoOf: (who: string) => `되돌리기: ${who}`,
  undoReason: '잘못 스캔함',
  takenBack: '입장 취소됨',
  turnedAway: '입구에서 돌려보냄',
  undone: '취소했습니다. 이 티켓을 다시 쓸 수 있습니다.',

  offline: '연결이 끊겼습니다. 이 기기에서 티켓을 확인합니다.',
  offlineNoList: '연결이 끊겼고 이 기기에 목록이 없습니다. 연결될 때까지 티켓을 확인할 수 없습니다.',
  stayOpen: '이 화면을 닫지 마세요. 연결이 없으면 이 브라우저에서 다시 열리지 않습니다.',
  crowded: '이 브라우저에 스캔을 저장할 공간이 없습니다. 모두 전송될 때까지 이 화면을 닫지 마세요.',
  waiting: (count: number) => `전송되지 않은 스캔 ${count}건`,
  sent: '모두 전송했습니다.',
  conflicts: (count: number) => `연결이 끊긴 동안 잘못 입장한 티켓 ${count}건`,
  uncounted: (count: number) => `이 기기에서 입장시켰지만 전송할 수 없는 티켓 ${count}건: 입장 인원에 포함되지 않습니다`,
  listAge: (time: string) => `${time} 기준 목록`,

  counts: (entered: number, places: number) => `${places.toLocaleString('ko')}명 중 ${entered.toLocaleString('ko')}명 입장`,
  countsTitle: '입장 현황',
  byGate: '출입구별',
  noGate: '출입구 없음',
  table: { gate: '출입구', result: '결과', codes: '코드', people: '인원' },

  search: '이름, 예매 번호나 좌석으로 찾기',
  searchNone: '해당 이름, 번호나 좌석이 없습니다.',
  searchMore: (count: number) => `외 ${count}건: 더 입력하세요`,
  letIn: (count: number) => `${people(count)} 입장`,
  allIn: '전원 입장',

  history: '최근 스캔',
  sound: '소리',
  closedTitle: '이 입장 화면을 쓸 수 없습니다',
  closedDetail: '링크가 만료되었거나 회수되었습니다. 주최자에게 새 링크를 요청하세요.',
};
