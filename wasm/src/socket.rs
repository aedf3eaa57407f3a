//! The WebSocket to the relay.

use crate::listener::Listener;
use crate::rtc::describe;
use crosspeer::platform::{Event, Events, Socket, SocketEvent, SocketId};
use crosspeer::relay::refused_in_page;
use crosspeer::{Config, Token};
use gloo_timers::callback::Timeout;
use js_sys::{Array, Function, Promise, Reflect};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{CloseEvent, MessageEvent};

/// The time for the TCP, TLS and WebSocket handshakes, as natively; browsers wait for minutes.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that wait to be sent. A relay that takes none of so many is given up.
const MAX_QUEUED: u32 = 64 << 20;
/// The subprotocol that goes beside a token.
const PROTOCOL: &str = "crosspeer";
/// RFC 6455's code for "no close frame came", which no relay sends.
const ABNORMAL: u16 = 1006;

/// One WebSocket. Dropping it closes it.
pub struct WebSocket(Rc<RefCell<Opened>>);

/// What there is once it is known with which token to open it.
#[derive(Default)]
struct Opened {
    socket: Option<web_sys::WebSocket>,
    _listeners: Vec<Listener>,
    _patience: Option<Timeout>,
}

impl WebSocket {
    pub(crate) fn open(id: SocketId, url: &str, config: &Config, ask: Option<&Function>, events: Events) -> Self {
        // The package's options have no such thing.
        if !(cfg!(feature = "js") || config.relay_headers.is_empty()) {
            web_sys::console::warn_1(
                &"crosspeer: a browser sends no `relay_headers`; put a token into `token` instead".into(),
            );
        }
        let report = Report {
            id,
            events,
            ended: Rc::default(),
        };
        if let Some(reason) = refused_in_page(url, &page_protocol()) {
            report.unusable(reason.to_owned());
            return Self(Rc::default());
        }
        match (&config.token, ask) {
            (None, None) => Self(Rc::new(RefCell::new(Opened::start(url, None, report)))),
            (token, ask) => Self::open_with(token.clone(), ask.cloned(), url.to_owned(), report),
        }
    }

    /// Opens it when the token is there, unless it has been dropped until then.
    fn open_with(token: Option<Token>, ask: Option<Function>, url: String, report: Report) -> Self {
        let opened = Rc::new(RefCell::new(Opened::default()));
        let place = Rc::downgrade(&opened);
        spawn_local(async move {
            let token = match (ask, token) {
                (Some(ask), _) => call(&ask).await,
                (None, Some(token)) => token.get().await,
                (None, None) => return,
            };
            match (place.upgrade(), token) {
                (None, _) => {}
                (Some(place), Ok(token)) => {
                    let opened = Opened::start(&url, Some(&token), report);
                    *place.borrow_mut() = opened;
                }
                (Some(_), Err(why)) => report.closed(None, format!("there is no token for it: {why}")),
            }
        });
        Self(opened)
    }
}

impl Opened {
    fn start(url: &str, token: Option<&str>, report: Report) -> Self {
        let socket = match token {
            None => web_sys::WebSocket::new(url),
            Some(token) => match bearer_protocol(token) {
                Some(bearer) => {
                    let protocols = Array::of2(&PROTOCOL.into(), &bearer.into());
                    web_sys::WebSocket::new_with_str_sequence(url, &protocols)
                }
                None => {
                    report.closed(None, "its token has characters that none may have".into());
                    return Self::default();
                }
            },
        };
        match socket {
            Ok(socket) => {
                ignore_errors(&socket);
                Self {
                    _patience: Some(give_up_later(&socket, report.clone())),
                    _listeners: listen(&socket, report),
                    socket: Some(socket),
                }
            }
            Err(error) => {
                // The browser will not even try: the URL, or a rule of its own.
                report.unusable(describe(&error));
                Self::default()
            }
        }
    }
}

/// The page's token, or the one that it promises.
async fn call(ask: &Function) -> Result<String, String> {
    let fail = |error: JsValue| describe(&error);
    let answer = ask.call0(&JsValue::UNDEFINED).map_err(fail)?;
    let token = JsFuture::from(Promise::resolve(&answer)).await.map_err(fail)?;
    token
        .as_string()
        .ok_or_else(|| "the `token` function gave something else than a string".into())
}

/// A token among the subprotocols, which is all that a page can add to a request: base64url of it.
fn bearer_protocol(token: &str) -> Option<String> {
    let btoa = Reflect::get(&js_sys::global(), &"btoa".into()).ok()?;
    let coded = btoa.dyn_ref::<Function>()?.call1(&JsValue::UNDEFINED, &token.into());
    let coded = coded.ok()?.as_string()?;
    let coded = coded.replace('+', "-").replace('/', "_").replace('=', "");
    Some(format!("{PROTOCOL}.bearer.{coded}"))
}

impl Socket for WebSocket {
    fn send(&self, text: String) {
        let opened = self.0.borrow();
        let Some(socket) = &opened.socket else { return };
        if socket.buffered_amount() > MAX_QUEUED {
            tracing::warn!("the relay does not take what is sent to it; closing");
            let _ = socket.close();
        } else if let Err(error) = socket.send_with_str(&text) {
            tracing::warn!(error = describe(&error), "cannot send to the relay");
        }
    }

    fn close(&self) {
        if let Some(socket) = &self.0.borrow().socket {
            let _ = socket.close_with_code(1000);
        }
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocket").finish_non_exhaustive()
    }
}

/// Where one socket reports.
#[derive(Clone)]
struct Report {
    id: SocketId,
    events: Events,
    ended: Rc<Cell<bool>>,
}

impl Report {
    fn event(&self, event: SocketEvent) {
        if !self.ended.get() {
            self.events.push(Event::Socket(self.id, event));
        }
    }

    fn unusable(&self, reason: String) {
        self.event(SocketEvent::Unusable(reason));
        self.ended.set(true);
    }

    fn closed(&self, code: Option<u16>, reason: String) {
        self.event(SocketEvent::Closed {
            code,
            reason,
            http_status: None,
        });
        self.ended.set(true);
    }
}

/// `https:` and the like; nothing where there is no page.
fn page_protocol() -> String {
    let get = |of: &wasm_bindgen::JsValue, key: &str| js_sys::Reflect::get(of, &key.into()).unwrap_or_default();
    let location = get(&js_sys::global(), "location");
    get(&location, "protocol").as_string().unwrap_or_default()
}

fn listen(socket: &web_sys::WebSocket, report: Report) -> Vec<Listener> {
    let (opened, closed) = (report.clone(), report.clone());
    let open = Rc::new(Cell::new(false));
    let was_open = Rc::clone(&open);
    vec![
        Listener::new(socket, "open", move |_: web_sys::Event| {
            open.set(true);
            opened.event(SocketEvent::Open);
        }),
        Listener::new(socket, "message", move |message: MessageEvent| {
            report.event(
                message
                    .data()
                    .as_string()
                    .map_or(SocketEvent::Binary, SocketEvent::Text),
            );
        }),
        Listener::new(socket, "close", move |close: CloseEvent| {
            let code = Some(close.code()).filter(|code| *code != ABNORMAL);
            let reason = match (close.reason(), code, was_open.get()) {
                (reason, ..) if !reason.is_empty() => reason,
                (_, Some(_), _) => "closed by the relay".into(),
                (_, None, true) => "the connection to the relay broke".into(),
                (_, None, false) => "the browser could not open it, and says why only in its console".into(),
            };
            closed.closed(code, reason);
        }),
    ]
}

/// A failure is told by `close`. But where WebSockets are Node's `ws`, an `error` that nobody hears ends the process, even
/// after ours is closed and dropped. `Function.prototype` is a function that does nothing and needs no owner.
fn ignore_errors(socket: &web_sys::WebSocket) {
    if let Ok(method) = js_sys::Reflect::get(socket, &"close".into()) {
        let nothing = js_sys::Object::get_prototype_of(&method);
        socket.set_onerror(nothing.dyn_ref());
    }
}

fn give_up_later(socket: &web_sys::WebSocket, report: Report) -> Timeout {
    let socket = socket.clone();
    Timeout::new(OPEN_TIMEOUT.as_millis() as u32, move || {
        if socket.ready_state() == web_sys::WebSocket::CONNECTING {
            report.closed(None, format!("no answer within {} s", OPEN_TIMEOUT.as_secs()));
            let _ = socket.close();
        }
    })
}
