//! A headless Chromium, driven over its DevTools protocol.
//!
//! The transport is a pipe (`--remote-debugging-pipe`): it needs neither a port, a WebSocket library nor a driver
//! program, and the browser ends when this process ends, even by SIGKILL. A check needs few commands, so a crate with the
//! whole protocol would not pay off.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::cmd::{Cmd, PipedChild};

/// Time for a page to reach an expected state.
const PATIENCE: Duration = Duration::from_secs(90);

/// Time for the answer to one command.
const ANSWER: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Time for a click to have an effect.
const CLICK_AGAIN: Duration = Duration::from_secs(5);
/// Chromium expects the pipe on descriptors 3 and 4. The shell duplicates its input and output there, which needs no
/// unsafe code. `$0` is the file for Chromium's own output.
const WITH_PIPE: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >"$0" 2>&1"#;
const FLAGS: [&str; 13] = [
    "--headless=new",
    "--remote-debugging-pipe",
    // The sandbox does not work as root or in containers; the browser opens only our own server.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--no-first-run",
    "--no-proxy-server",
    // Only loopback resolves: a page that needs the internet must fail here.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// A browser with one page. Dropping it ends the browser and removes its profile.
pub struct Chromium {
    // Dropped before the profile: the browser must end before its folder is removed.
    child: PipedChild,
    profile: Profile,
    session: Option<String>,
    calls: u64,
    /// Uncaught errors of the page.
    page_errors: Vec<String>,
    /// True if a request was aborted since the page was loaded because the machine's network changed.
    disturbed: bool,
    /// True if a page with lost requests is not reloaded, because it has unsaved input.
    keeps_page: bool,
    reloads: u32,
}

impl Chromium {
    /// Starts a browser with an empty page of a size in pixels; `name` is that of its temporary profile.
    pub async fn start(program: &str, name: &str, (width, height): (u32, u32)) -> anyhow::Result<Chromium> {
        let profile = Profile::new(name)?;
        let child = Cmd::new("sh")
            .args(["-c", WITH_PIPE])
            .arg(profile.log())
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.0.path().display()))
            .arg(format!("--window-size={width},{height}"))
            // Crash reports and caches go into the profile, too, and are removed with it.
            .env("HOME", profile.0.path().display().to_string())
            .env("XDG_CONFIG_HOME", profile.0.path().display().to_string())
            .env("XDG_CACHE_HOME", profile.0.path().display().to_string())
            .spawn_piped()?;
        let mut browser = Chromium {
            child,
            profile,
            session: None,
            calls: 0,
            page_errors: Vec::new(),
            disturbed: false,
            keeps_page: false,
            reloads: 0,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach).await?;
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser.call("Runtime.enable", json!({})).await?;
        browser.call("Network.enable", json!({})).await?;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.call("Emulation.setDeviceMetricsOverride", size).await?;
        Ok(browser)
    }

    /// Returns the browser's name and version.
    pub async fn version(&mut self) -> anyhow::Result<String> {
        let version = self.call("Browser.getVersion", json!({})).await?;
        Ok(version["product"].as_str().unwrap_or_default().to_owned())
    }

    /// Opens a URL.
    pub async fn open(&mut self, url: &str) -> anyhow::Result<()> {
        if std::mem::take(&mut self.disturbed) {
            self.page_errors.clear();
        }
        let answer = self.call("Page.navigate", json!({ "url": url })).await?;
        ensure!(answer["errorText"].is_null(), "the browser cannot open {url}: {}", answer["errorText"]);
        Ok(())
    }

    /// Returns the value of a JavaScript expression in the page.
    pub async fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters).await?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("`{expression}` failed in the page: {}", exception["exception"]["description"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true, and reloads the page when requests were lost. The error at the deadline contains
    /// the text of the page and its uncaught errors.
    pub async fn wait_for(&mut self, what: &str, expression: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        // Evaluation may fail while another page loads.
        while !matches!(self.evaluate(expression).await, Ok(Value::Bool(true))) {
            ensure!(!(self.disturbed && self.keeps_page), "requests were lost while waiting for {what}");
            if std::mem::take(&mut self.disturbed) {
                self.reloads += 1;
                self.call("Page.reload", json!({})).await?;
                self.page_errors.clear();
            }
            if began.elapsed() > PATIENCE {
                let page = "location.pathname + ': ' + document.body.innerText";
                let shown = self.evaluate(page).await.unwrap_or_default().to_string();
                let page_errors = self.page_errors.join("; ");
                bail!("no {what} within {} s; the page shows {shown}; its errors: {page_errors}", PATIENCE.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Types a text into the element of a CSS selector.
    pub async fn fill(&mut self, selector: &str, text: &str) -> anyhow::Result<()> {
        self.wait_for(selector, &format!("document.querySelector({selector:?}) !== null")).await?;
        self.evaluate(&format!("document.querySelector({selector:?}).focus()")).await?;
        self.call("Input.insertText", json!({ "text": text })).await.map(drop)
    }

    /// Sets whether [`Chromium::wait_for`] returns an error instead of reloading a page with lost requests.
    pub fn keep_page(&mut self, keep: bool) {
        self.keeps_page = keep;
    }

    /// Returns true if requests of the page were lost because the machine's network changed.
    pub fn is_disturbed(&self) -> bool {
        self.disturbed
    }

    /// Clicks the centre of the element that an expression returns, with mouse events. Scrolls to it, and waits until it
    /// no longer moves.
    pub async fn click(&mut self, what: &str, element: &str) -> anyhow::Result<()> {
        self.wait_for(what, &format!("!!({element})")).await?;
        let centre = format!(
            "(() => {{ const e = {element}; e.scrollIntoView({{ block: 'nearest' }});
                       const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let mut place = Value::Null;
        loop {
            let now = self.evaluate(&centre).await?;
            if std::mem::replace(&mut place, now.clone()) == now {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Clicks an element until an expression is true. A page that still loads can move the element away from the mouse.
    pub async fn click_until(&mut self, what: &str, element: &str, expression: &str) -> anyhow::Result<()> {
        self.click(what, element).await?;
        let began = Instant::now();
        let mut clicked = Instant::now();
        while began.elapsed() < PATIENCE && !matches!(self.evaluate(expression).await, Ok(Value::Bool(true))) {
            let is_there = matches!(self.evaluate(&format!("!!({element})")).await, Ok(Value::Bool(true)));
            if is_there && clicked.elapsed() > CLICK_AGAIN {
                self.click(what, element).await?;
                clicked = Instant::now();
            }
            tokio::time::sleep(POLL).await;
        }
        self.wait_for(&format!("effect of a click on the {what}"), expression).await
    }

    /// Returns a PNG of the page.
    pub async fn screenshot(&mut self) -> anyhow::Result<Vec<u8>> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let data = answer["data"].as_str().context("the browser sent no screenshot")?;
        base64::engine::general_purpose::STANDARD.decode(data).context("the browser's screenshot is not base64")
    }

    /// Uncaught errors of the page, without those of requests that were lost because the machine's network changed.
    pub fn page_errors(&self) -> Vec<&str> {
        let errors = self.page_errors.iter().map(String::as_str);
        // The message of axios, which the admin UI uses.
        errors.filter(|error| !(self.disturbed && error.contains("Network Error"))).collect()
    }

    /// Number of reloads because requests were lost.
    pub fn reloads(&self) -> u32 {
        self.reloads
    }

    async fn call(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        match tokio::time::timeout(ANSWER, self.exchange(method, parameters)).await {
            Ok(answer) => answer.with_context(|| format!("{method} of the browser failed")),
            Err(_) => bail!("the browser does not answer {method} within {} s", ANSWER.as_secs()),
        }
    }

    /// Sends a command and reads up to its answer. Messages end with a NUL; those before the answer are events.
    async fn exchange(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        self.calls += 1;
        let mut request = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let mut message = request.to_string().into_bytes();
        message.push(0);
        let written = self.child.stdin.write_all(&message).await;
        loop {
            let mut message = Vec::new();
            let read = self.child.stdout.read_until(0, &mut message).await?;
            if written.is_err() || read == 0 {
                let log = std::fs::read_to_string(self.profile.log()).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("the browser has ended: {}", last.join(" | "));
            }
            let answer: Value = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message))?;
            if answer["id"] == self.calls {
                ensure!(answer.get("error").is_none(), "{}", answer["error"]["message"]);
                return Ok(answer["result"].clone());
            }
            // Chromium aborts pending requests, also on loopback, whenever an interface or address of the machine
            // changes, as containers do when they start and stop (https://issues.chromium.org/issues/41465264).
            self.disturbed |= answer["method"] == "Network.loadingFailed"
                && answer["params"]["errorText"] == "net::ERR_NETWORK_CHANGED";
            if answer["method"] == "Runtime.exceptionThrown" {
                let exception = &answer["params"]["exceptionDetails"];
                let description = exception["exception"]["description"].as_str().or(exception["text"].as_str());
                self.page_errors.push(description.unwrap_or("an error without a description").to_owned());
            }
        }
    }
}

/// A browser's temporary folder, removed when this is dropped.
struct Profile(TempDir);

impl Profile {
    fn new(name: &str) -> anyhow::Result<Profile> {
        let folder = tempfile::Builder::new().prefix(name).tempdir();
        Ok(Profile(folder.context("failed to create a folder for the browser")?))
    }

    /// The file of the browser's own output.
    fn log(&self) -> PathBuf {
        self.0.path().join("browser.log")
    }
}
