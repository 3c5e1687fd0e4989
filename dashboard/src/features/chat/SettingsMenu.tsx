import { SettingOutlined } from "@ant-design/icons";
import { Button, Dropdown } from "antd";
import { useTranslation } from "react-i18next";
import { LANGUAGES, type Language, setLanguage } from "~/app/i18n";
import { type Mode, setMode, useMode } from "~/app/theme";

const MODES: Mode[] = ["system", "light", "dark"];

export function SettingsMenu() {
  const { t, i18n } = useTranslation();
  const mode = useMode();
  return (
    <Dropdown
      autoFocus
      trigger={["click"]}
      placement="topLeft"
      menu={{
        selectable: true,
        multiple: true,
        selectedKeys: [mode, i18n.language],
        items: [
          {
            type: "group",
            label: t("settings.theme"),
            children: MODES.map((one) => ({
              key: one,
              label: t(`settings.${one}`),
              onClick: () => setMode(one),
            })),
          },
          { type: "divider" },
          {
            type: "group",
            label: t("settings.language"),
            children: (Object.keys(LANGUAGES) as Language[]).map((one) => ({
              key: one,
              label: <span lang={one}>{LANGUAGES[one]}</span>,
              onClick: () => setLanguage(one),
            })),
          },
        ],
      }}
    >
      <Button type="text" className="side-settings" icon={<SettingOutlined aria-hidden />}>
        {t("settings.title")}
      </Button>
    </Dropdown>
  );
}
