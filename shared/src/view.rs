//! JSON of the REST API. The coordinator writes these types and the command line reads them.
//!
//! Times are RFC 3339 in UTC with milliseconds; durations, sizes and rates carry their unit at the end of the name. A
//! field that is absent is not known or does not apply. Readers must pass over fields that they do not know.

mod event;
mod explain;
mod facts;
mod farm;
mod job;
mod join;
mod logs;
mod set;
mod standing;
mod whole;

pub use event::EventView;
pub use explain::{SentAheadView, StartView, TaskExplainView};
pub use facts::{FileFacts, FilesView};
pub use farm::{
    AddressBook, CreatedTokenView, HealthView, NewTokenRequest, PresetList, PresetView, ProblemView,
    RemovedWorkerView, RunningView, StatusView, TaskTally, TokenList, TokenView, UploadRequest, UploadView,
    WorkerList, WorkerView,
};
pub use job::{
    ArtifactView, FailureView, JobList, JobView, NeedsView, OutputState, OutputView, ProgressView,
    StoppedView, SubmittedView, TaskCounts, TaskView,
};
pub use join::{CreatedJoinTokenView, JoinTokenList, JoinTokenView, NewJoinTokenRequest};
pub use logs::{AttemptLogView, LogsView};
pub use set::{RenditionView, SetView, StageView};
pub use standing::{
    AnomalyView, AssumedView, BarredView, BottleneckView, ExplainView, ForecastView, HeldLimitView,
    LimitList, NamedLimitView, PlacedView, TenantLimitsView, TenantList, TenantView, TradeView, WaitView,
};
