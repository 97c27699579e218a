/** The name of what is kept in the browser for when there is no connection; the service worker is told it by its address. */
export const CACHE = 'boxoffice-tickets';
