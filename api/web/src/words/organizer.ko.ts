/** 판매 시작 전 주최자 화면의 문구. `organizer.en.ts`와 키가 같습니다. */

import type { OrganizerWords } from './organizer.en.ts';

export const ko: OrganizerWords = {
  shows: '내 공연',
  venues: '공연장',
  navigation: '주최자 메뉴',

  becoming: {
    title: '직접 티켓을 팔아 보세요',
    bySigningUp: '이 계정은 예매용입니다. 티켓을 팔려면 다른 이메일로 주최자 계정을 만들어 주세요. 10분이면 판매를 시작할 수 있습니다.',
    byAdmin: '이 계정을 그대로 쓰고 싶다면 운영자에게 주최자로 바꿔 달라고 요청하세요.',
    signUp: '로그아웃하고 주최자로 가입',
  },

  steps: {
    title: '판매까지 세 단계',
    venue: '공연장',
    performance: '공연',
    schedule: '일정과 가격',
  },

  overview: {
    emptyTitle: '10분이면 판매를 시작합니다',
    emptyDetail: '먼저 공연장을 등록합니다. 좌석 배치도 파일이 있으면 올리고, 없으면 열과 좌석 수만 적으면 됩니다. 그다음 공연, 마지막으로 일정과 가격입니다.',
    begin: '공연장부터 시작하기',
  },

  venue: {
    newTitle: '새 공연장',
    title: '공연장',
  },

  performance: {
    newTitle: '새 공연',
    title: '공연',
  },

  schedule: {
    newTitle: '새 일정',
    title: '일정과 판매 조건',
  },
};
