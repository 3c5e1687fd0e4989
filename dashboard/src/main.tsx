import { createRoot } from "react-dom/client";
import { App } from "~/app/App";
import { startI18n } from "~/app/i18n";
import "~/app/base.css";

const root = document.getElementById("root");
if (root) startI18n().then(() => createRoot(root).render(<App />));
