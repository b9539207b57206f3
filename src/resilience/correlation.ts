// Pearson's correlation of two series: 1 when they move alike, -1 when they move against each other.
//
//   r = sum((x - mx) * (y - my)) / sqrt(sum((x - mx)^2) * sum((y - my)^2))

/** 0 where one of them does not move at all. The series have the same length. */
export function correlation(xs: readonly number[], ys: readonly number[]): number {
  const [mx, my] = [mean(xs), mean(ys)];
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (const [at, x] of xs.entries()) {
    const [dx, dy] = [x - mx, ys[at] - my];
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : 0;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}
