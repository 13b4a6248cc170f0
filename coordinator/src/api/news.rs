//! The farm's recent news, kept for clients that come back and handed to those that listen.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rushes_core::event::FarmNews;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::engine_actor::News;

/// What a listener gets.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// A piece of news.
    News(News),
    /// Some were missed: what was known is out of date.
    Gap,
}

/// What a listener who was here before missed.
#[derive(Debug)]
pub(super) struct Since {
    /// News that it has not seen.
    pub(super) missed: Vec<News>,
    /// Whether there were others that are not kept any more.
    pub(super) gap: bool,
    /// What comes from now on.
    pub(super) next: broadcast::Receiver<Told>,
}

/// Hands news on. Progress is not kept: it is out of date at once.
#[derive(Debug)]
pub(super) struct NewsHub {
    /// Tells ids of this process from those before, whose counting began at the same number.
    instance: u32,
    size: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ring: VecDeque<News>,
    /// Everything above this number is in the ring.
    from: u64,
    newest: u64,
    /// `None` once the hub is closed.
    listeners: Option<broadcast::Sender<Told>>,
}

impl NewsHub {
    pub(super) fn new(size: usize) -> Arc<Self> {
        let (listeners, _) = broadcast::channel(size.max(16));
        let inner = Inner { ring: VecDeque::new(), from: u64::MAX, newest: 0, listeners: Some(listeners) };
        Arc::new(Self { instance: rand::random(), size, inner: Mutex::new(inner) })
    }

    /// Takes news until the farm ends.
    pub(super) async fn follow(self: Arc<Self>, mut news: broadcast::Receiver<News>) {
        loop {
            match news.recv().await {
                Ok(piece) => self.tell(piece),
                Err(RecvError::Lagged(_)) => self.skip(),
                Err(RecvError::Closed) => return self.close(),
            }
        }
    }

    fn tell(&self, piece: News) {
        let mut inner = self.lock();
        inner.newest = piece.0;
        inner.from = inner.from.min(piece.0.saturating_sub(1));
        if !matches!(piece.1.what, FarmNews::TaskProgressed { .. }) {
            if inner.ring.len() == self.size
                && let Some(oldest) = inner.ring.pop_front()
            {
                inner.from = oldest.0;
            }
            inner.ring.push_back(Arc::clone(&piece));
        }
        if let Some(listeners) = inner.listeners.as_ref().filter(|to| to.receiver_count() > 0) {
            // The last one may have gone just now, which is no error.
            listeners.send(Told::News(piece)).ok();
        }
    }

    fn skip(&self) {
        let mut inner = self.lock();
        inner.ring.clear();
        inner.from = u64::MAX;
        if let Some(listeners) = &inner.listeners {
            listeners.send(Told::Gap).ok();
        }
    }

    /// Ends all listeners' streams.
    pub(super) fn close(&self) {
        self.lock().listeners = None;
    }

    /// Begins to listen; `last` is the last id that the listener saw. `None` once the hub is closed.
    pub(super) fn listen(&self, last: Option<&str>) -> Option<Since> {
        let inner = self.lock();
        let next = inner.listeners.as_ref()?.subscribe();
        let Some(last) = last else { return Some(Since { missed: Vec::new(), gap: false, next }) };
        let seen = last
            .split_once('-')
            .filter(|(instance, _)| *instance == format!("{:08x}", self.instance))
            .and_then(|(_, number)| number.parse::<u64>().ok())
            .filter(|number| (inner.from..=inner.newest).contains(number));
        let missed = match seen {
            Some(number) => inner.ring.iter().filter(|piece| piece.0 > number).cloned().collect(),
            None => Vec::new(),
        };
        Some(Since { missed, gap: seen.is_none(), next })
    }

    /// The id of a piece of news, for `Last-Event-ID`.
    pub(super) fn id(&self, number: u64) -> String {
        format!("{:08x}-{number}", self.instance)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rushes_core::event::FarmEvent;
    use rushes_shared::units::WallMs;

    use super::*;

    fn piece(number: u64) -> News {
        Arc::new((
            number,
            FarmEvent { at: WallMs(number), tenant: None, job: None, what: FarmNews::JobAccepted },
        ))
    }

    fn missed(hub: &NewsHub, last: &str) -> (Vec<u64>, bool) {
        let since = hub.listen(Some(last)).expect("it is open");
        (since.missed.iter().map(|p| p.0).collect(), since.gap)
    }

    #[test]
    fn a_listener_who_returns_gets_what_it_missed_or_is_told_to_start_over() {
        let hub = NewsHub::new(3);
        for number in 10..15 {
            hub.tell(piece(number));
        }
        assert_eq!(missed(&hub, &hub.id(12)), (vec![13, 14], false));
        assert_eq!(missed(&hub, &hub.id(11)), (vec![12, 13, 14], false));
        assert_eq!(missed(&hub, &hub.id(14)), (vec![], false));
        assert_eq!(missed(&hub, &hub.id(10)), (vec![], true), "11 is not kept any more");
        assert_eq!(missed(&hub, &hub.id(99)), (vec![], true), "it was never given out");
        assert_eq!(missed(&hub, "00000000-12"), (vec![], true), "of another process");
        assert_eq!(missed(&hub, "nonsense"), (vec![], true));
        hub.skip();
        assert_eq!(missed(&hub, &hub.id(14)), (vec![], true));
    }

    #[test]
    fn a_closed_hub_ends_its_listeners() {
        let hub = NewsHub::new(3);
        let mut since = hub.listen(None).expect("it is open");
        hub.tell(piece(1));
        hub.close();
        assert!(matches!(since.next.try_recv(), Ok(Told::News(_))));
        assert!(matches!(since.next.try_recv(), Err(broadcast::error::TryRecvError::Closed)));
        assert!(hub.listen(None).is_none());
    }
}
