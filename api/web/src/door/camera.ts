/**
 * Reads QR codes off the camera: by the browser's own detector where it has one, else by a decoder that is loaded then.
 *
 *     const stop = await watch(video, (code) => …)     throws `CameraDenied`, `CameraOverHttp` or `NoCamera`
 *
 * The same code is told again only when it was out of sight for a moment.
 */

export class CameraDenied extends Error {}
/** Browsers give the camera to no page that came by plain http from another machine. */
export class CameraOverHttp extends Error {}
export class NoCamera extends Error {}

const LOOK_EVERY_MS = 120;
const SAME_WITHIN_MS = 2_500;
const SIDE = 480; // pixels of the square that is looked at: enough for a code held at arm's length

type Look = (video: HTMLVideoElement) => Promise<string | null>;
interface Detector {
  detect(source: HTMLVideoElement): Promise<readonly { readonly rawValue: string }[]>;
}
declare global {
  // Not in TypeScript's library yet: https://wicg.github.io/shape-detection-api/
  var BarcodeDetector: (new (options: { formats: string[] }) => Detector) | undefined;
}

export async function watch(video: HTMLVideoElement, told: (code: string) => void): Promise<() => void> {
  const stream = await opened();
  video.srcObject = stream;
  await video.play();
  const look = await looking();
  let last = '';
  let lastAt = 0;
  let running = true;
  const round = async (): Promise<void> => {
    const code = video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA ? await look(video).catch(() => null) : null;
    const now = performance.now();
    if (code !== null && (code !== last || now - lastAt > SAME_WITHIN_MS)) told(code);
    if (code !== null) [last, lastAt] = [code, now];
    if (running) setTimeout(() => void round(), LOOK_EVERY_MS);
  };
  void round();
  return () => {
    running = false;
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
}

const decoder = () => import('qr/decode.js');

/** Has the decoder here, where it will be needed, before there is no connection to fetch it by. */
export async function fetchDecoder(): Promise<void> {
  if (globalThis.BarcodeDetector === undefined) await decoder();
}

async function opened(): Promise<MediaStream> {
  if (navigator.mediaDevices === undefined) throw isSecureContext ? new NoCamera() : new CameraOverHttp();
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' }, audio: false });
  } catch (error) {
    throw error instanceof DOMException && error.name === 'NotAllowedError' ? new CameraDenied() : new NoCamera();
  }
}

async function looking(): Promise<Look> {
  if (globalThis.BarcodeDetector !== undefined) {
    const detector = new globalThis.BarcodeDetector({ formats: ['qr_code'] });
    return async (video) => (await detector.detect(video))[0]?.rawValue ?? null;
  }
  const { decodeQR } = await decoder();
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  return async (video) => {
    const side = Math.min(video.videoWidth, video.videoHeight);
    if (context === null || side === 0) return null;
    context.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, SIDE, SIDE);
    try {
      return decodeQR(context.getImageData(0, 0, SIDE, SIDE));
    } catch {
      return null; // no code in this picture
    }
  };
}
