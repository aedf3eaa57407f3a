//! Event listeners that end with their owner.

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Event, EventTarget};

/// A listener of one kind of event. Dropping it removes it, and frees what it holds.
pub(crate) struct Listener {
    target: EventTarget,
    kind: &'static str,
    callback: Closure<dyn FnMut(Event)>,
}

impl Listener {
    /// Calls back with each event of this kind. `E` must be the kind's class, which is not checked: where the classes
    /// are a polyfill's they are not global.
    pub(crate) fn new<E: JsCast + 'static>(
        target: &EventTarget,
        kind: &'static str,
        mut callback: impl FnMut(E) + 'static,
    ) -> Self {
        let callback = Closure::<dyn FnMut(Event)>::new(move |event: Event| callback(event.unchecked_into()));
        if let Err(error) = target.add_event_listener_with_callback(kind, callback.as_ref().unchecked_ref()) {
            tracing::warn!(error = crate::rtc::describe(&error), kind, "cannot listen");
        }
        Self {
            target: target.clone(),
            kind,
            callback,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let callback = self.callback.as_ref().unchecked_ref();
        let _ = self.target.remove_event_listener_with_callback(self.kind, callback);
    }
}
