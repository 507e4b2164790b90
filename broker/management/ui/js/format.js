// Numbers, sizes, times as people read them.
import { currentLanguage, t } from "./lang.js";

const local = (value, digits = 0) => (value ?? 0).toLocaleString(currentLanguage(), { maximumFractionDigits: digits });

export const number = (value) => local(value);

/** Large numbers at a glance: 12.3 k, 4.5 M. */
export function short(value) {
  const steps = [[1e9, "G"], [1e6, "M"], [1e4, "k"]];
  const [size, unit] = steps.find(([least]) => value >= least) ?? [1, ""];
  return size === 1 ? local(value, value < 10 ? 1 : 0) : `${local(value / (size === 1e4 ? 1e3 : size), 1)} ${unit}`;
}

export const perSecond = (value) => `${short(value ?? 0)}/s`;
export const rate = (details) => perSecond(details?.rate);

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [unit, size] = [0, value ?? 0];
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  return `${local(size, size < 10 && unit ? 1 : 0)} ${units[unit]}`;
}

export function duration(ms) {
  const s = Math.floor(ms / 1000);
  const [d, hours, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
  return d ? `${d} d ${hours} h` : hours ? `${hours} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString(currentLanguage());
export const moment = (ms) => new Date(ms).toLocaleString(currentLanguage());
export const ago = (ms) => t("{time} ago", { time: duration(Math.max(0, Date.now() - ms)) });

/** An object as short JSON; nothing for an empty one. */
export const pretty = (value) => (value && Object.keys(value).length ? JSON.stringify(value) : "");
