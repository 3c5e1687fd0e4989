import { App as AntApp, ConfigProvider } from "antd";
import { useLayoutEffect } from "react";
import { ChatPage } from "~/features/chat/ChatPage";
import { cspNonce } from "./csp";
import { themeOf, useDark } from "./theme";

/** Menus belong to the part of the page that opened them; beside a modal dialog they would even be inert. */
const containerOf = (trigger?: HTMLElement) =>
  trigger?.closest<HTMLElement>("dialog, aside, main") ?? document.body;

export function App() {
  const isDark = useDark();
  useLayoutEffect(() => {
    document.documentElement.className = isDark ? "dark" : "light";
  }, [isDark]);
  return (
    <ConfigProvider
      csp={{ nonce: cspNonce }}
      theme={themeOf(isDark)}
      wave={{ disabled: true }}
      button={{ autoInsertSpace: false }}
      getPopupContainer={containerOf}
    >
      {/* AntApp gives messages with this context: the static ones know no nonce. */}
      <AntApp className="app">
        <ChatPage />
      </AntApp>
    </ConfigProvider>
  );
}
