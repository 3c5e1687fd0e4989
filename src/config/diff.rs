//! What a reload has to do: compares two validated configurations and touches nothing.
//!
//! `[server]` and `[storage]` belong to the process: a change is refused. Every entry of `[[platforms]]`,
//! `[[providers]]` and `[[knowledge]]` is a component. The rest is live: read from the current snapshot, restarting nobody.

use super::{Config, Server, Storage};
use serde::Serialize;

/// The difference between two configurations. Lists are in the order of the file; what left comes in the old order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Plan {
    /// Components that are new or were switched on: `platform/web`.
    pub start: Vec<String>,
    /// Components that run before and after, with another section.
    pub restart: Vec<String>,
    /// Components that left or were switched off.
    pub stop: Vec<String>,
    /// Sections that take effect by being read: `pipeline`.
    pub live: Vec<String>,
    /// Fields that only a restart of the process can change: `server.bind`. Not empty: the whole reload is refused.
    pub refused: Vec<String>,
}

impl Plan {
    /// Tells whether nothing at all changes for running actors and turns.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Plans the way from `old` to `new`. Both have been through [`super::load`], so no `enabled` is `auto`.
pub fn plan(old: &Config, new: &Config) -> Plan {
    let mut plan = Plan { refused: refused(old, new), live: live(old, new), ..Plan::default() };
    plan.components(
        "platform",
        &running(old.active_platforms(), |it| &it.id),
        &running(new.active_platforms(), |it| &it.id),
    );
    plan.components(
        "provider",
        &running(old.active_providers(), |it| &it.id),
        &running(new.active_providers(), |it| &it.id),
    );
    plan.components(
        "knowledge",
        &running(old.knowledge.iter(), |it| &it.id),
        &running(new.knowledge.iter(), |it| &it.id),
    );
    plan
}

/// Sections that run, with their ids.
type Running<'a, T> = Vec<(&'a str, &'a T)>;

fn running<'a, T>(sections: impl Iterator<Item = &'a T>, id: fn(&T) -> &String) -> Running<'a, T> {
    sections.map(|section| (id(section).as_str(), section)).collect()
}

impl Plan {
    fn components<T: PartialEq>(&mut self, family: &str, old: &Running<'_, T>, new: &Running<'_, T>) {
        let find = |list: &Running<'_, T>, id: &str| list.iter().position(|(other, _)| *other == id);
        for (id, section) in new {
            let before = find(old, id).and_then(|index| old.get(index));
            match before {
                None => self.start.push(format!("{family}/{id}")),
                Some((_, before)) if before != section => self.restart.push(format!("{family}/{id}")),
                Some(_) => {}
            }
        }
        let gone = old.iter().filter(|(id, _)| find(new, id).is_none());
        self.stop.extend(gone.map(|(id, _)| format!("{family}/{id}")));
    }
}

/// Names the fields of the process that differ. The patterns are complete, so a new field cannot be forgotten here.
fn refused(old: &Config, new: &Config) -> Vec<String> {
    let Server { bind, public_url, workers, max_body, drain_timeout, trusted_proxies, chaos } = &old.server;
    let Storage { url, data_dir, keep, keep_ids, high_water, min_free } = &old.storage;
    let (server, storage) = (&new.server, &new.storage);
    let table = [
        ("server.bind", *bind == server.bind),
        ("server.public_url", *public_url == server.public_url),
        ("server.workers", *workers == server.workers),
        ("server.max_body", *max_body == server.max_body),
        ("server.drain_timeout", *drain_timeout == server.drain_timeout),
        ("server.trusted_proxies", *trusted_proxies == server.trusted_proxies),
        ("server.chaos", *chaos == server.chaos),
        ("storage.url", *url == storage.url),
        ("storage.data_dir", *data_dir == storage.data_dir),
        ("storage.keep", *keep == storage.keep),
        ("storage.keep_ids", *keep_ids == storage.keep_ids),
        ("storage.high_water", *high_water == storage.high_water),
        ("storage.min_free", *min_free == storage.min_free),
    ];
    changed(table)
}

/// Names the live sections that differ. The pattern is complete, for the same reason.
fn live(old: &Config, new: &Config) -> Vec<String> {
    let Config {
        security,
        pipeline,
        telemetry,
        assistants,
        routes,
        server: _,
        storage: _,
        platforms: _,
        providers: _,
        knowledge: _,
    } = old;
    changed([
        ("security", *security == new.security),
        ("pipeline", *pipeline == new.pipeline),
        ("telemetry", *telemetry == new.telemetry),
        ("assistants", *assistants == new.assistants),
        ("routes", *routes == new.routes),
    ])
}

fn changed<const N: usize>(table: [(&str, bool); N]) -> Vec<String> {
    table.into_iter().filter(|(_, same)| !same).map(|(name, _)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Enabled, Knowledge, Platform, Provider};
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn provider(id: &str, weight: u32, on: bool) -> Provider {
        let enabled = if on { Enabled::On } else { Enabled::Off };
        Provider { id: id.to_owned(), weight: Some(weight), enabled, ..Provider::default() }
    }

    #[test]
    fn what_a_change_does() {
        let base = Config { providers: vec![provider("a", 1, true)], ..Config::default() };
        let with = |providers: &[Provider]| Config { providers: providers.to_vec(), ..Config::default() };
        let mut bind = base.clone();
        bind.server.bind = "0.0.0.0:1".to_owned();
        bind.storage.high_water = 7;
        let mut turns = base.clone();
        turns.pipeline.turns = 7;
        turns.telemetry.log_level = "debug".to_owned();
        let none = Plan::default();
        let key = |name: &str| vec![format!("provider/{name}")];
        let table = [
            ("nothing", base.clone(), none.clone()),
            (
                "added",
                with(&[provider("a", 1, true), provider("b", 1, true)]),
                Plan { start: key("b"), ..none.clone() },
            ),
            ("removed", with(&[]), Plan { stop: key("a"), ..none.clone() }),
            ("changed", with(&[provider("a", 2, true)]), Plan { restart: key("a"), ..none.clone() }),
            ("switched off", with(&[provider("a", 1, false)]), Plan { stop: key("a"), ..none.clone() }),
            ("renamed", with(&[provider("b", 1, true)]), Plan { start: key("b"), stop: key("a"), ..none.clone() }),
            (
                "process",
                bind,
                Plan { refused: vec!["server.bind".to_owned(), "storage.high_water".to_owned()], ..none.clone() },
            ),
            ("live", turns, Plan { live: vec!["pipeline".to_owned(), "telemetry".to_owned()], ..none.clone() }),
        ];
        for (case, new, expected) in table {
            assert_eq!(plan(&base, &new), expected, "{case}");
            assert_eq!(expected.is_empty(), case == "nothing", "{case}");
        }
        let off = with(&[provider("a", 1, false)]);
        assert_eq!(plan(&off, &base), Plan { start: key("a"), ..none.clone() }, "switched on");
        assert!(plan(&off, &with(&[provider("a", 9, false)])).is_empty(), "changed while off");
    }

    fn configs() -> impl Strategy<Value = Config> {
        let entries = proptest::collection::btree_map("[abc]", (0_u32..3, any::<bool>()), 0..4);
        (entries.clone(), entries.clone(), entries, 0_usize..3, 0_u64..3).prop_map(
            |(platforms, providers, knowledge, turns, high_water)| {
                let providers = providers.iter().map(|(id, (weight, on))| provider(id, *weight, *on)).collect();
                let mut config = Config { providers, ..Config::default() };
                let platform = |(id, (rate, on)): (&String, &(u32, bool))| Platform {
                    id: id.clone(),
                    sends_per_minute: Some(*rate),
                    enabled: if *on { Enabled::On } else { Enabled::Off },
                    ..Platform::default()
                };
                config.platforms = platforms.iter().map(platform).collect();
                let documents = |(id, (top_k, _)): (&String, &(u32, bool))| Knowledge {
                    id: id.clone(),
                    top_k: *top_k as usize,
                    ..Knowledge::default()
                };
                config.knowledge = knowledge.iter().map(documents).collect();
                config.pipeline.turns = turns;
                config.storage.high_water = high_water;
                config
            },
        )
    }

    /// Everything that runs, by key, as text.
    fn sections(config: &Config) -> BTreeMap<String, String> {
        let platforms = config.active_platforms().map(|it| (format!("platform/{}", it.id), format!("{it:?}")));
        let providers = config.active_providers().map(|it| (format!("provider/{}", it.id), format!("{it:?}")));
        let knowledge = config.knowledge.iter().map(|it| (format!("knowledge/{}", it.id), format!("{it:?}")));
        let rest = [
            ("pipeline".to_owned(), format!("{:?}", config.pipeline)),
            ("storage.high_water".to_owned(), format!("{:?}", config.storage.high_water)),
        ];
        platforms.chain(providers).chain(knowledge).chain(rest).collect()
    }

    proptest! {
        #[test]
        fn a_plan_to_where_we_are_is_empty(a in configs()) {
            prop_assert!(plan(&a, &a).is_empty());
        }

        #[test]
        fn applying_a_plan_leads_to_the_new_configuration(a in configs(), b in configs()) {
            let (mut now, goal) = (sections(&a), sections(&b));
            let plan = plan(&a, &b);
            for key in &plan.stop {
                prop_assert!(now.remove(key).is_some());
            }
            for key in &plan.start {
                prop_assert!(now.insert(key.clone(), goal[key].clone()).is_none());
            }
            for key in plan.restart.iter().chain(&plan.live).chain(&plan.refused) {
                prop_assert!(now.insert(key.clone(), goal[key].clone()).is_some());
            }
            prop_assert_eq!(now, goal);
        }

        #[test]
        fn a_key_appears_once_and_only_when_its_section_differs(a in configs(), b in configs()) {
            let (old, new) = (sections(&a), sections(&b));
            let plan = plan(&a, &b);
            let named: Vec<&String> =
                [&plan.start, &plan.restart, &plan.stop, &plan.live, &plan.refused].into_iter().flatten().collect();
            let all: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in all {
                let times = named.iter().filter(|name| **name == key).count();
                prop_assert_eq!(times, usize::from(old.get(key) != new.get(key)), "{}", key);
            }
        }
    }
}
