//! A headless Chromium, driven over its DevTools protocol.
//!
//! Over a pipe (`--remote-debugging-pipe`), which needs neither a port, a WebSocket library nor a driver program, and
//! which ends the browser when we end, even by SIGKILL. The few commands that a check needs are no reason for a crate
//! with the whole protocol.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};

use crate::cmd::{Cmd, Talk};

/// Time for a page to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long one command may take.
const ANSWER: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// Descriptors 3 and 4 are where Chromium looks for the pipe; the shell makes them of its input and output, which takes
/// no unsafe code. `$0` is the file for what Chromium says.
const WITH_PIPE: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >"$0" 2>&1"#;
const FLAGS: [&str; 13] = [
    "--headless=new",
    "--remote-debugging-pipe",
    // Its sandbox needs what containers and root do not have; it sees nothing but our own server.
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
    // Nothing but loopback is asked for: a page that needs the internet must not pass here.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// A browser with one page. It ends when this is dropped, and its profile goes.
pub struct Chromium {
    // Before the profile: the browser has ended when its folder goes.
    talk: Talk,
    profile: Profile,
    session: Option<String>,
    calls: u64,
    /// What went wrong in the page by itself.
    complaints: Vec<String>,
    /// Whether a request was given up since the page was loaded, because the machine's network changed.
    disturbed: bool,
    reloads: u32,
}

impl Chromium {
    /// Starts a browser with an empty page of that size.
    pub async fn start(program: &str, name: &str, (width, height): (u32, u32)) -> anyhow::Result<Chromium> {
        let profile = Profile::new(name)?;
        let said = profile.said();
        let talk = Cmd::new("sh")
            .args(["-c", WITH_PIPE])
            .arg(&said)
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.0.display()))
            .arg(format!("--window-size={width},{height}"))
            // What it keeps outside its profile (crash reports, caches) goes with that, too.
            .env("HOME", profile.0.display().to_string())
            .env("XDG_CONFIG_HOME", profile.0.display().to_string())
            .env("XDG_CACHE_HOME", profile.0.display().to_string())
            .talk()?;
        let mut browser =
            Chromium { talk, profile, session: None, calls: 0, complaints: Vec::new(), disturbed: false, reloads: 0 };
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

    /// Its name and version.
    pub async fn version(&mut self) -> anyhow::Result<String> {
        let version = self.call("Browser.getVersion", json!({})).await?;
        Ok(version["product"].as_str().unwrap_or_default().to_owned())
    }

    /// Opens an address.
    pub async fn open(&mut self, url: &str) -> anyhow::Result<()> {
        let answer = self.call("Page.navigate", json!({ "url": url })).await?;
        ensure!(answer["errorText"].is_null(), "the browser cannot open {url}: {}", answer["errorText"]);
        Ok(())
    }

    /// What an expression is in the page.
    pub async fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let question = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", question).await?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("`{expression}` failed in the page: {}", exception["exception"]["description"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true, and loads the page again when requests of it were lost. The reason why it does not become so says what the page shows instead.
    pub async fn wait_for(&mut self, what: &str, expression: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        // While it loads another page there may be no document to ask.
        while !matches!(self.evaluate(expression).await, Ok(Value::Bool(true))) {
            if std::mem::take(&mut self.disturbed) {
                self.reloads += 1;
                self.call("Page.reload", json!({})).await?;
                self.complaints.clear();
            }
            if began.elapsed() > PATIENCE {
                let page = "location.pathname + ': ' + document.body.innerText";
                let shown = self.evaluate(page).await.unwrap_or_default().to_string();
                let complaints = self.complaints.join("; ");
                bail!("no {what} within {} s; the page shows {shown}; it complains: {complaints}", PATIENCE.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Types into the element that a CSS selector finds, as a keyboard does.
    pub async fn fill(&mut self, selector: &str, text: &str) -> anyhow::Result<()> {
        self.wait_for(selector, &format!("document.querySelector({selector:?}) !== null")).await?;
        self.evaluate(&format!("document.querySelector({selector:?}).focus()")).await?;
        self.call("Input.insertText", json!({ "text": text })).await.map(drop)
    }

    /// Clicks into the middle of the element that an expression gives, as a mouse does.
    pub async fn click(&mut self, what: &str, element: &str) -> anyhow::Result<()> {
        self.wait_for(what, &format!("!!({element})")).await?;
        let place = format!(
            "(() => {{ const r = ({element}).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        );
        let place = self.evaluate(&place).await?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// What the page looks like, as a PNG.
    pub async fn screenshot(&mut self) -> anyhow::Result<Vec<u8>> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let data = answer["data"].as_str().context("the browser gives no picture")?;
        base64::engine::general_purpose::STANDARD.decode(data).context("the browser's picture is not base64")
    }

    /// Uncaught errors of the page so far.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// How often a page was loaded again because requests of it were lost.
    pub fn reloads(&self) -> u32 {
        self.reloads
    }

    async fn call(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        match tokio::time::timeout(ANSWER, self.exchange(method, parameters)).await {
            Ok(answer) => answer.with_context(|| format!("{method} of the browser failed")),
            Err(_) => bail!("the browser does not answer {method} within {} s", ANSWER.as_secs()),
        }
    }

    /// Messages end with a NUL. What comes before the answer are events.
    async fn exchange(&mut self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        self.calls += 1;
        let mut request = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let mut message = request.to_string().into_bytes();
        message.push(0);
        let written = self.talk.stdin.write_all(&message).await;
        loop {
            let mut message = Vec::new();
            let read = self.talk.stdout.read_until(0, &mut message).await?;
            if written.is_err() || read == 0 {
                let said = std::fs::read_to_string(self.profile.said()).unwrap_or_default();
                let last: Vec<&str> = said.lines().rev().take(5).collect();
                bail!("it has ended: {}", last.join(" | "));
            }
            let answer: Value = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message))?;
            if answer["id"] == self.calls {
                ensure!(answer.get("error").is_none(), "{}", answer["error"]["message"]);
                return Ok(answer["result"].clone());
            }
            // Chromium gives up what is under way whenever the machine gets another interface or address, also on
            // loopback; containers that come and go bring and take some (https://issues.chromium.org/issues/41465264).
            self.disturbed |= answer["method"] == "Network.loadingFailed"
                && answer["params"]["errorText"] == "net::ERR_NETWORK_CHANGED";
            if answer["method"] == "Runtime.exceptionThrown" {
                let exception = &answer["params"]["exceptionDetails"];
                let description = exception["exception"]["description"].as_str().or(exception["text"].as_str());
                self.complaints.push(description.unwrap_or("an error without words").to_owned());
            }
        }
    }
}

/// A folder of a browser's own, gone when this is dropped.
struct Profile(PathBuf);

impl Profile {
    fn new(name: &str) -> anyhow::Result<Profile> {
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        Ok(Profile(folder))
    }

    /// The file that takes what the browser says.
    fn said(&self) -> PathBuf {
        self.0.join("said.log")
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        // A process of the browser's that ends last may still write; what cannot be removed lies in the temporary folder.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
