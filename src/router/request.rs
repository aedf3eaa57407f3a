//! What is done about each request.

use super::{Mode, Router};
use crate::link::{Link, Outgoing};
use crate::output::{Output, State};
use crate::request::{LinkId, Reply, Request, RequestId, Target};
use crate::{Error, Message};
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

impl Router {
    pub(super) fn on_request(&mut self, now: Instant, id: RequestId, request: Request) {
        if let Err(error) = self.try_request(now, id, request) {
            self.out.push_back(Output::Reply(id, Err(error)));
        }
    }

    /// An error is the request's answer.
    fn try_request(&mut self, now: Instant, id: RequestId, request: Request) -> Result<(), Error> {
        match request {
            Request::Registered { timeout } => self.wait_registered(now, id, timeout)?,
            Request::Reconnect => {
                self.uplink.reconnect_now(now);
                self.wait_registered(now, id, None)?;
            }
            Request::Send {
                target,
                message,
                timeout,
            } => self.send(now, id, target, message, timeout)?,
            Request::Ready { target, timeout } => {
                let link = self.connect(now, target)?;
                let timeout = self.timeout_or(timeout);
                self.with_link(now, link, |link, cx| link.wait_ready(cx, id, timeout));
            }
            Request::Adopt { link, channels } => {
                self.add_link(link, None, channels);
            }
            Request::Offer { link, peer } => self.offer(now, id, link, peer)?,
            Request::Answer { link, peer } => self.answer(id, link, peer)?,
            Request::HandleMessage { link, message } => {
                self.known(link)?;
                self.deliver_signal(now, link, message)?;
                self.done(id);
            }
            Request::Relay(message) => {
                self.refused.clone().map_or(Ok(()), Err)?;
                if !self.uplink.send(message) {
                    let text = "too many messages wait for the relay; wait until it is connected";
                    return Err(Error::InvalidInput(text.into()));
                }
                self.done(id);
            }
            Request::Consumed { link, bytes } => self.on_consumed(now, link, bytes),
            Request::Cancel(request) => self.cancel(request),
            Request::Statistics(link) => {
                let statistics = self.known(link)?.statistics();
                self.out.push_back(Output::Reply(id, Ok(Reply::Statistics(statistics))));
            }
            Request::Close(target) => self.close(now, id, target),
            Request::Forget(link) => {
                self.with_link(now, link, |link, cx| {
                    link.forgotten = true;
                    link.close(cx, None);
                });
            }
            Request::LeaveRelay => self.leave_relay(now, id),
            Request::CloseAll => self.close_all(now, id),
        }
        Ok(())
    }

    fn cancel(&mut self, request: RequestId) {
        self.links.values_mut().for_each(|link| link.cancel(request));
        self.registering.retain(|(waiting, _)| *waiting != request);
    }

    fn done(&mut self, id: RequestId) {
        self.out.push_back(Output::Reply(id, Ok(Reply::Done)));
    }

    fn wait_registered(&mut self, now: Instant, id: RequestId, timeout: Option<Duration>) -> Result<(), Error> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        match self.uplink.is_registered() {
            true => self.done(id),
            false => self.registering.push((id, now + self.timeout_or(timeout))),
        }
        Ok(())
    }

    fn send(
        &mut self,
        now: Instant,
        request: RequestId,
        target: Target,
        message: Message,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let (size, limit) = (message.len() as u64, self.config.max_message_bytes);
        if size > limit {
            return Err(Error::TooLarge { size, limit });
        }
        let link = self.connect(now, target)?;
        let timeout = self.timeout_or(timeout);
        let outgoing = Outgoing {
            request,
            message,
            expires: now + timeout,
            timeout,
        };
        self.with_link(now, link, |link, cx| link.send(cx, outgoing));
        Ok(())
    }

    /// The connection a request is for; one to a peer is begun if there is none.
    fn connect(&mut self, now: Instant, target: Target) -> Result<LinkId, Error> {
        let peer = match target {
            Target::Link(link) => return self.known(link).map(|link| link.id),
            Target::Peer(peer) => peer,
        };
        let old = self.by_peer.get(peer).and_then(|id| self.links.get(id));
        let closing = old.filter(|link| link.is_closing()).map(|link| link.id);
        if let Some(link) = old.filter(|link| !link.is_closing()) {
            return Ok(link.id);
        }
        if self.closing.is_some() || self.done {
            return Err(Error::closed("this side is being closed"));
        }
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        if peer == self.me.uuid {
            return Err(Error::InvalidInput("the peer's UUID is this side's own".into()));
        }
        self.check_required(peer)?;
        let link = self.new_link(peer, false);
        match closing {
            Some(old) => self.deferred.push((link, old)),
            None => {
                self.with_link(now, link, |link, cx| link.offer(cx));
            }
        }
        Ok(link)
    }

    fn known(&self, link: LinkId) -> Result<&Link, Error> {
        self.links
            .get(&link)
            .ok_or_else(|| Error::closed("the connection has ended"))
    }

    fn offer(&mut self, now: Instant, id: RequestId, link: LinkId, peer: Uuid) -> Result<(), Error> {
        if self.known(link)?.state() != State::New {
            return Err(Error::InvalidInput(
                "this connection has been used already; make a new one".into(),
            ));
        }
        self.check_required(peer)?;
        self.with_link(now, link, |link, cx| {
            link.peer = Some(peer);
            link.offer(cx);
        });
        self.done(id);
        Ok(())
    }

    fn answer(&mut self, id: RequestId, link: LinkId, peer: Uuid) -> Result<(), Error> {
        let known = self.known(link)?;
        if known.peer != Some(peer) || !known.is_answerer() {
            return Err(Error::InvalidInput(format!("there is no offer of {peer} to answer")));
        }
        if let Some(link) = self.links.get_mut(&link) {
            link.repeat_signal();
        }
        self.done(id);
        Ok(())
    }

    fn close(&mut self, now: Instant, id: RequestId, target: Target) {
        let link = match target {
            Target::Link(link) => Some(link),
            Target::Peer(peer) => self.by_peer.get(peer).copied(),
        };
        let known = link.and_then(|link| self.with_link(now, link, |link, cx| link.close(cx, Some(id))));
        if known.is_none() {
            self.done(id);
        }
    }

    fn leave_relay(&mut self, now: Instant, id: RequestId) {
        if self.refused.is_none() {
            self.uplink.close();
            self.on_refused(now, Error::closed("this side has left the relay"));
        }
        self.done(id);
    }

    fn close_all(&mut self, now: Instant, id: RequestId) {
        if self.done {
            return self.done(id);
        }
        self.closing.get_or_insert_default().push(id);
        for link in self.links.values().map(|link| link.id).collect::<Vec<_>>() {
            self.with_link(now, link, |link, cx| link.close(cx, None));
        }
    }

    /// Whether connections are made and answered without being asked.
    pub(super) fn is_managed(&self) -> bool {
        self.mode == Mode::Managed
    }
}
