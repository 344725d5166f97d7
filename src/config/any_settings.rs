//! Any environment and any file give a configuration within its own bounds, or a list of mistakes that
//! name settings.

use proptest::option;
use proptest::prelude::*;

use super::*;

/// A text that may be meant for a setting of this kind, or any other text.
fn written(meant: &'static str) -> BoxedStrategy<Option<String>> {
    option::weighted(0.8, prop_oneof![4 => meant, 1 => any::<String>()]).boxed()
}

const ADDRESS: &str =
    "(10\\.0\\.0\\.[0-9]{1,3}|node-[a-c]|\\[::1\\]|LOCALHOST|0\\.0\\.0\\.0)?:?(80|8080|0|99999)?";
const ADDRESSES: &str = "((10\\.0\\.0\\.[1-4]|node-[a-c]):(80|8080)[, ]{0,2}){0,4}";
const AMOUNT: &str = " ?[0-9]{0,25}(\\.[0-9]{0,9})? ?(ms|s|min|h|d|kB|MiB|GiB|b|x)?";

fn settings() -> BoxedStrategy<Settings> {
    let place = (
        written(ADDRESS),
        written(ADDRESSES),
        written("-?[0-9]{0,11}"),
        written(ADDRESS),
    );
    let store = (written("durable|memory| Memory|tape"), written("[ /a-z]{0,9}"));
    let limits = [(); 6].map(|()| written(AMOUNT));
    let logging = (
        written("Info|warning|causeway=debug"),
        written("JSON|human| tape"),
    );
    (place, store, limits, logging)
        .prop_map(
            |((ipport, view, k, listen), (store, data_dir), limits, (log, log_format))| {
                let [
                    max_value,
                    causal_wait,
                    clock_limit,
                    forget_after,
                    view_change_timeout,
                    max_requests,
                ] = limits;
                Settings {
                    ipport,
                    view,
                    k,
                    listen,
                    store,
                    data_dir,
                    max_value,
                    causal_wait,
                    clock_limit,
                    forget_after,
                    view_change_timeout,
                    max_requests,
                    log,
                    log_format,
                }
            },
        )
        .boxed()
}

/// One file with these settings in it.
fn file(settings: &mut Settings) -> String {
    let given = settings.by_name().into_iter();
    let lines = given.filter_map(|(name, text)| {
        // JSON spells texts as TOML does, except for the one control character that it does not escape.
        let text = serde_json::Value::from(text.clone()?).to_string();
        Some(format!(
            "{} = {}\n",
            name.to_ascii_lowercase(),
            text.replace('\u{7f}', "\\u007f")
        ))
    });
    lines.collect()
}

fn check(settings: &Settings, is_own: &dyn Fn(IpAddr) -> bool) -> Result<(), TestCaseError> {
    match understand(settings, is_own) {
        Err(mistakes) => {
            let names = Settings::default().by_name().map(|(name, _)| name);
            prop_assert!(!mistakes.is_empty());
            prop_assert!(
                mistakes.iter().all(|mistake| names.contains(&mistake.setting)),
                "{:?}",
                mistakes
            );
        }
        Ok(config) => {
            prop_assert!(config.listen.port() != 0 && config.replicas != Some(0));
            if let Some(view) = &config.view {
                prop_assert!(config.replicas.is_some() && view.contains(&config.node));
                prop_assert!(view.is_sorted_by(|a, b| a < b));
            }
            let limits = &config.limits;
            prop_assert!((1..=VALUE_BYTES_CEILING).contains(&limits.value_bytes_max));
            prop_assert!(limits.forget_after > 3 * limits.clock_limit && limits.requests_max > 0);
            for warning in warnings(&config, is_own) {
                prop_assert!(!warning.is_empty());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_settings_are_understood_or_every_mistake_names_one(settings in settings(), owns_all in any::<bool>()) {
        check(&settings, &|_| owns_all)?;
    }

    #[test]
    fn a_file_gives_what_was_written_into_it(mut settings in settings()) {
        let (read, mistakes) = settings_from_toml(&file(&mut settings));
        prop_assert_eq!(&mistakes, &[]);
        prop_assert_eq!(read, settings);
    }

    #[test]
    fn any_file_is_settings_or_mistakes(
        text in prop_oneof![any::<String>(), "((k|view|ipport|max_value|x) ?= ?[\"'\\[\\]{}0-9a-z:.,-]{0,12}\n){0,4}"],
    ) {
        let (settings, _) = settings_from_toml(&text);
        check(&settings, &|_| false)?;
    }
}
