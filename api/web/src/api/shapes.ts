/** Names for the API's answers, taken from its own document: `Answer<'/v1/bookings/{booking_id}'>`. */

import type { paths } from './openapi';

type Json<R> = R extends { content: { 'application/json': infer Body } } ? Body : never;
type Success<R> = R extends { 200: infer Ok } ? Json<Ok> : R extends { 201: infer Made } ? Json<Made> : never;
type Method = 'get' | 'post' | 'patch' | 'put' | 'delete';

export type Answer<P extends keyof paths, M extends Method = 'get'> = paths[P][M] extends { responses: infer R } ? Success<R> : never;

export type Performance = Answer<'/v1/performances/{performance_id}'>;
export type Schedule = Answer<'/v1/schedules/{schedule_id}'>;
export type Facets = Answer<'/v1/performances/facets'>;
export type Booking = Answer<'/v1/bookings/{booking_id}'>;
export type Seat = Booking['seats'][number];
export type Payment = NonNullable<Booking['payment']>;
export type Refund = Booking['refunds'][number];
export type Quote = Answer<'/v1/payments/{payment_id}/refund_quote'>;
export type Counts = Answer<'/v1/schedules/{schedule_id}/availability'>;
export type Transfer = Answer<'/v1/transfers'>['items'][number];
