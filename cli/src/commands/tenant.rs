//! `rushes tenant …`.

use rushes_shared::view::{TenantLimitsView, TenantView};

use super::{client, print};
use crate::args::{FarmArgs, TenantArgs, TenantCommand};
use crate::client::Client;
use crate::fault::{Ending, Fault};
use crate::table::{Cell, Tone, colours, table};

pub(super) fn run(farm: &FarmArgs, command: &TenantCommand) -> Result<Ending, Fault> {
    let client = client(farm)?;
    match command {
        TenantCommand::List { names } => {
            let list = client.tenants(names)?;
            print(farm, &list, || listed(&list.items));
        }
        TenantCommand::Set(args) => {
            let limits = client.set_tenant(&args.tenant, &changed(&client, args)?)?;
            print(farm, &limits, || told(&args.tenant, &limits));
        }
        TenantCommand::Reset { tenant } => {
            let limits = client.set_tenant(tenant, &TenantLimitsView::default())?;
            print(farm, &limits, || told(tenant, &limits));
        }
    }
    Ok(Ending::Ok)
}

/// The tenant's present limits with what the command line changes; the farm takes all of them at once.
fn changed(client: &Client, args: &TenantArgs) -> Result<TenantLimitsView, Fault> {
    let asks = args.weight.is_some()
        || args.max_running.is_some()
        || args.max_jobs.is_some()
        || args.max_class.is_some()
        || args.max_priority.is_some()
        || args.max_deadline_jobs.is_some();
    if !asks {
        let advice = "say what to set, such as --weight 300; 'rushes tenant set --help' has all";
        return Err(Fault::Usage(advice.to_owned()));
    }
    let known = client
        .tenants(std::slice::from_ref(&args.tenant))?
        .items
        .into_iter()
        .find(|tenant| tenant.tenant == args.tenant);
    let now = known.filter(|tenant| tenant.own_limits).map(|tenant| tenant.limits).unwrap_or_default();
    Ok(TenantLimitsView {
        weight: args.weight.or(now.weight),
        max_running: args.max_running.or(now.max_running),
        max_jobs: args.max_jobs.or(now.max_jobs),
        max_class: args.max_class.or(now.max_class),
        max_priority: args.max_priority.or(now.max_priority),
        max_deadline_jobs: args.max_deadline_jobs.or(now.max_deadline_jobs),
    })
}

/// A limit that nothing reaches is none.
fn most<T: Into<u64> + Copy>(limit: Option<T>) -> String {
    match limit.map(Into::into) {
        Some(n) if n < u64::from(u32::MAX) => n.to_string(),
        _ => "any".to_owned(),
    }
}

fn told(tenant: &str, limits: &TenantLimitsView) -> String {
    format!(
        "{tenant}: weight {}, at most {} running at once, {} jobs, {} jobs with a deadline, class up to {}, priority up to {}\n",
        most(limits.weight),
        most(limits.max_running),
        most(limits.max_jobs),
        most(limits.max_deadline_jobs),
        limits.max_class.map_or("any", |class| class.as_str()),
        most(limits.max_priority)
    )
}

fn listed(tenants: &[TenantView]) -> String {
    if tenants.is_empty() {
        return "no tenant has jobs or limits of its own yet\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = tenants
        .iter()
        .map(|tenant| {
            let of = |have: String, most: String| Cell::from(format!("{have} of {most}"));
            let limits = &tenant.limits;
            vec![
                Cell::from(tenant.tenant.clone()),
                Cell::from(most(limits.weight)),
                of(tenant.running.to_string(), most(limits.max_running)),
                of(tenant.jobs.to_string(), most(limits.max_jobs)),
                of(tenant.deadline_jobs.to_string(), most(limits.max_deadline_jobs)),
                Cell::from(limits.max_class.map_or("any", |class| class.as_str())),
                Cell::from(most(limits.max_priority)),
                if tenant.own_limits {
                    Cell::from("own")
                } else {
                    Cell("every tenant's".to_owned(), Tone::Faint)
                },
            ]
        })
        .collect();
    let head = ["TENANT", "WEIGHT", "RUNNING", "JOBS", "DEADLINES", "CLASS", "PRIORITY", "LIMITS"];
    table(&head, &rows, colours())
}
