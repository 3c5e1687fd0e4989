import { type ThemeConfig, theme } from "antd";
import { useSyncExternalStore } from "react";

export type Mode = "light" | "dark" | "system";
const KEY = "mindbot.mode";
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

function storedMode(): Mode {
  const value = localStorage.getItem(KEY);
  return value === "light" || value === "dark" ? value : "system";
}

export function setMode(mode: Mode) {
  if (mode === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, mode);
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  dark.addEventListener("change", listener);
  return () => {
    listeners.delete(listener);
    dark.removeEventListener("change", listener);
  };
}

export const useMode = () => useSyncExternalStore(subscribe, storedMode);

/** True while the page is dark, by choice or because the system is. */
export const useDark = () =>
  useSyncExternalStore(subscribe, () => {
    const mode = storedMode();
    return mode === "dark" || (mode === "system" && dark.matches);
  });

const FONT =
  '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei UI", "Noto Sans CJK SC", "Noto Sans SC", sans-serif';
const MONO =
  'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", "Noto Sans Mono CJK SC", "PingFang SC", monospace';

/** One place for every visual constant that Ant Design can know about. */
export function themeOf(isDark: boolean): ThemeConfig {
  return {
    algorithm: isDark ? theme.darkAlgorithm : theme.defaultAlgorithm,
    token: {
      colorPrimary: isDark ? "#7c96f5" : "#2f54d0",
      colorSuccess: isDark ? "#4cb782" : "#187a4b",
      colorWarning: isDark ? "#e0a33e" : "#8a5000",
      colorError: isDark ? "#f0736a" : "#c62f26",
      colorInfo: isDark ? "#7c96f5" : "#2f54d0",
      colorLink: isDark ? "#93a9fa" : "#2848b8",
      colorBgBase: isDark ? "#131417" : "#ffffff",
      colorBgLayout: isDark ? "#0e0f11" : "#f6f7f9",
      colorBgContainer: isDark ? "#17181b" : "#ffffff",
      colorBgElevated: isDark ? "#1f2125" : "#ffffff",
      colorTextBase: isDark ? "#e8eaee" : "#16191f",
      colorTextSecondary: isDark ? "#a9b0bc" : "#525a68",
      colorTextTertiary: isDark ? "#8d95a3" : "#656d7b",
      colorTextDescription: isDark ? "#a0a8b5" : "#5c6472",
      colorTextPlaceholder: isDark ? "#8d95a3" : "#6b7280",
      colorBorderSecondary: isDark ? "#292c31" : "#e6e8ec",
      colorBorder: isDark ? "#353941" : "#d3d7de",
      colorWarningBg: isDark ? "#2a2315" : "#fdf7e8",
      colorWarningBorder: isDark ? "#54441f" : "#ecd8a8",
      colorErrorBg: isDark ? "#2c1b1a" : "#fdf2f1",
      colorErrorBorder: isDark ? "#5f312d" : "#f2c8c4",
      fontFamily: FONT,
      fontFamilyCode: MONO,
      fontSize: 14,
      borderRadius: 8,
      controlHeight: 32,
      motionDurationMid: "0.12s",
      motionDurationSlow: "0.16s",
      wireframe: false,
    },
    components: {
      // The chosen entry of a menu stands on a tint of the accent, which takes some of its contrast.
      Dropdown: { colorPrimary: isDark ? "#b3c1fc" : "#2848b8" },
      // The accents of the dark theme are too light for white words.
      Button: isDark ? { primaryColor: "#0d1020", dangerColor: "#1d0c0a" } : {},
    },
  };
}
