/** What is to be heard: one high tone for come in, at a door and out of a waiting room; two low ones for stop. Nothing where sound is not to be had. */

let context: AudioContext | null = null;

/** To be called from a click or key: browsers let a page sound only then. */
export function allowSound(): void {
  context ??= typeof AudioContext === 'undefined' ? null : new AudioContext();
  void context?.resume();
}

const GOOD_HZ = 880;
const BAD_HZ = 220;
const TONE_S = 0.14;

export function sound(good: boolean): void {
  if (context === null) return;
  tone(context, good ? GOOD_HZ : BAD_HZ, 0);
  if (!good) tone(context, BAD_HZ, TONE_S * 1.4);
  navigator.vibrate?.(good ? 60 : [120, 80, 120]);
}

function tone(audio: AudioContext, hz: number, afterS: number): void {
  const at = audio.currentTime + afterS;
  const oscillator = new OscillatorNode(audio, { frequency: hz, type: 'triangle' });
  const gain = new GainNode(audio, { gain: 0.25 });
  gain.gain.setTargetAtTime(0, at + TONE_S * 0.6, TONE_S / 6);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(at);
  oscillator.stop(at + TONE_S * 2);
}
