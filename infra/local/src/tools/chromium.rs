//! A Chromium, for the tests that open pages: this machine's, or on Debian its package.

use std::path::PathBuf;

use super::debian::Wanted;

const CHROMIUM: Wanted = Wanted {
    name: "Chromium",
    variable: "WEIR_CHROMIUM",
    programs: &[
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        // Where it is on macOS.
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ],
    needs: "install chromium, or name one with WEIR_CHROMIUM",
};

/// The program. Debian's package is installed when there is none and this user may: half the desktop's libraries come with it.
pub(super) async fn program() -> anyhow::Result<PathBuf> {
    CHROMIUM.installed("chromium").await
}
