/**
 * Interpolates from one draw of noise to another along the great circle through both.
 *
 * Returns `count` draws in one array; the first and the last are the two. Each is as far from the
 * origin as noise is. A straight line would pass nearer to it, where no network has seen noise
 * (Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985).
 */
export function slerp(start: Float32Array, end: Float32Array, count: number): Float32Array {
  const cosine = dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const frames = new Float32Array(count * start.length);
  for (let frame = 0; frame < count; frame++) {
    const [a, b] = weights(frame / (count - 1), angle);
    const offset = frame * start.length;
    for (let i = 0; i < start.length; i++) frames[offset + i] = a * start[i]! + b * end[i]!;
  }
  return frames;
}

function weights(fraction: number, angle: number): [number, number] {
  // The same seed twice: the angle is 0, and the formula would be 0/0.
  if (Math.sin(angle) < 1e-6) return [1 - fraction, fraction];
  const scale = 1 / Math.sin(angle);
  return [Math.sin((1 - fraction) * angle) * scale, Math.sin(fraction * angle) * scale];
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
