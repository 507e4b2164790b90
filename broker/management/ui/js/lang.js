// Which language, and texts in it. The English text is its own key.
import { words } from "./words.js";

export const languages = { en: "English", zh: "中文" };
let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");

/** Texts that were wanted in another language and are only there in English. */
export const untranslated = new Set();

export const currentLanguage = () => language;

export function setLanguage(code) {
  language = code in languages ? code : "en";
  localStorage.setItem("language", language);
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

/** A text in the reader's language, with `{name}` replaced by `values.name`. */
export function t(text, values = {}) {
  let found = text;
  if (language === "zh" && text) {
    if (words[text] === undefined) untranslated.add(text);
    found = words[text] ?? text;
  }
  return found.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}
