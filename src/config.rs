//! Settings: the file, then the environment, then flags. Every setting has a default.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ipnet::IpNet;
use serde::Deserialize;
use watchfire_detect::EngineConfig;
use watchfire_event::Query;
use watchfire_store::RetentionClass;
use watchfire_store::vault::MasterKey;

/// What can be written in the configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    rules: Vec<PathBuf>,
    intel: IntelFile,
    ingest: IngestFile,
    detect: DetectFile,
    retention: RetentionFile,
    erasure: ErasureFile,
    webhooks: WebhookFile,
    encryption: EncryptionFile,
    backup: BackupFile,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IngestFile {
    keep_raw: Option<KeepRaw>,
}

/// Which events keep their text beside their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeepRaw {
    /// Those that columns cannot give back exactly.
    Needed,
    /// All, byte for byte.
    All,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct IntelFile {
    dirs: Vec<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DetectFile {
    enabled: Option<bool>,
    alerts_per_day: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RetentionFile {
    days: Option<u32>,
    max_bytes: Option<u64>,
    classes: Vec<ClassFile>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ErasureFile {
    within_hours: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassFile {
    query: String,
    days: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WebhookFile {
    allow: Vec<IpNet>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EncryptionFile {
    key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BackupFile {
    dir: Option<PathBuf>,
}

/// What the command line says; it wins over the file and the environment.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The data folder.
    pub data: Option<PathBuf>,
    /// The address to listen on.
    pub listen: Option<SocketAddr>,
    /// More folders with rules.
    pub rules: Vec<PathBuf>,
    /// More folders with threat lists.
    pub intel: Vec<PathBuf>,
    /// Listen without TLS on other addresses than loopback.
    pub insecure: bool,
}

/// Validated settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The data folder.
    pub data: PathBuf,
    /// Folders with rules besides the built-in pack.
    pub rules: Vec<PathBuf>,
    /// Folders with threat lists.
    pub intel: Vec<PathBuf>,
    /// Keep the text of every event, byte for byte.
    pub keep_raw_all: bool,
    /// Run rules and detectors.
    pub detect: bool,
    /// Alerts a day that people are asked about, besides what is severe; 0 for all.
    pub alerts_per_day: u32,
    /// Events received longer ago are dropped.
    pub retention: Duration,
    /// Events that are dropped earlier.
    pub retention_classes: Vec<RetentionClass>,
    /// An erasure that takes longer is told as overdue.
    pub erase_within: Duration,
    /// Segments beyond this many bytes are dropped, oldest first.
    pub retention_bytes: Option<u64>,
    /// Networks besides the public ones that webhooks may go to.
    pub webhook_allow: Vec<IpNet>,
    /// An admin API token for automation, from `WATCHFIRE_ADMIN_TOKEN`.
    pub admin_token: Option<String>,
    /// Encrypts the data folder, from `WATCHFIRE_MASTER_KEY` or a file.
    pub master_key: Option<MasterKey>,
    /// The folder below which the API may write backups; none where it may not.
    pub backup_dir: Option<PathBuf>,
}

/// Shortest admin token that is taken from the environment, characters.
const MIN_ADMIN_TOKEN: usize = 32;

impl Config {
    /// What detection is to run.
    pub fn engine(&self) -> EngineConfig {
        EngineConfig {
            alerts_per_day: self.alerts_per_day,
            ..EngineConfig::default()
        }
    }

    /// Reads and checks all settings.
    ///
    /// # Errors
    /// A sentence that names the setting and what is wrong with it.
    pub fn load(overrides: &Overrides) -> Result<Config> {
        let file = match &overrides.config {
            Some(path) => read_file(path)?,
            None => File::default(),
        };
        let mut rules = file.rules;
        rules.extend(overrides.rules.iter().cloned());
        let mut intel = file.intel.dirs;
        intel.extend(overrides.intel.iter().cloned());
        let mut webhook_allow = file.webhooks.allow;
        webhook_allow.extend(env_networks("WATCHFIRE_WEBHOOK_ALLOW")?);
        let config = Config {
            listen: overrides
                .listen
                .or(file.listen)
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7700))),
            data: overrides
                .data
                .clone()
                .or(file.data)
                .unwrap_or_else(|| PathBuf::from("watchfire-data")),
            rules,
            intel,
            keep_raw_all: file.ingest.keep_raw == Some(KeepRaw::All),
            detect: env_bool("WATCHFIRE_DETECT")?
                .or(file.detect.enabled)
                .unwrap_or(true),
            alerts_per_day: file
                .detect
                .alerts_per_day
                .unwrap_or(EngineConfig::default().alerts_per_day),
            retention: Duration::from_secs(
                u64::from(file.retention.days.unwrap_or(90)) * 24 * 3600,
            ),
            retention_classes: file
                .retention
                .classes
                .iter()
                .map(class)
                .collect::<Result<_>>()?,
            erase_within: Duration::from_secs(
                u64::from(file.erasure.within_hours.unwrap_or(24)) * 3600,
            ),
            retention_bytes: file.retention.max_bytes,
            webhook_allow,
            admin_token: std::env::var("WATCHFIRE_ADMIN_TOKEN")
                .ok()
                .filter(|t| !t.is_empty()),
            master_key: master_key(file.encryption.key_file.as_deref())?,
            backup_dir: file.backup.dir,
        };
        config.validate(overrides.insecure)?;
        Ok(config)
    }

    fn validate(&self, insecure: bool) -> Result<()> {
        if !self.listen.ip().is_loopback() && !insecure {
            bail!(
                "listening on {} without TLS would send tokens and logs in the clear; put a TLS \
                 proxy in front and listen on loopback, or say --insecure",
                self.listen
            );
        }
        if self.retention.is_zero() {
            bail!("retention.days must be at least 1");
        }
        if self.erase_within.is_zero() {
            bail!("erasure.within_hours must be at least 1");
        }
        if let Some(dir) = self.backup_dir.as_ref().filter(|dir| !dir.is_absolute()) {
            bail!("backup.dir must be an absolute path, not {}", dir.display());
        }
        for dir in &self.rules {
            if !dir.exists() {
                bail!("the rules folder {} does not exist", dir.display());
            }
        }
        for dir in &self.intel {
            if !dir.exists() {
                bail!(
                    "the folder of threat lists {} does not exist",
                    dir.display()
                );
            }
        }
        if self
            .admin_token
            .as_ref()
            .is_some_and(|t| t.chars().count() < MIN_ADMIN_TOKEN)
        {
            bail!("WATCHFIRE_ADMIN_TOKEN must have at least {MIN_ADMIN_TOKEN} characters");
        }
        Ok(())
    }
}

/// The master key of an encrypted data folder: out of the environment, else out of `file`.
///
/// # Errors
/// When what is there is no key, or others may read it.
pub fn master_key(file: Option<&Path>) -> Result<Option<MasterKey>> {
    const NAME: &str = "WATCHFIRE_MASTER_KEY";
    let text = std::env::var(NAME).ok().filter(|text| !text.is_empty());
    Ok(match (text, file) {
        (Some(text), _) => Some(MasterKey::parse(&text, NAME)?),
        (None, Some(path)) => Some(MasterKey::from_file(path)?),
        (None, None) => None,
    })
}

fn class(file: &ClassFile) -> Result<RetentionClass> {
    let text = &file.query;
    let query = Query::parse(text).map_err(|error| {
        let at = error.position;
        anyhow!("retention.classes: query {text:?} cannot be read at character {at}: {error}")
    })?;
    if query.is_all() {
        bail!("retention.classes: query {text:?} matches every event; set retention.days instead");
    }
    if file.days == 0 {
        bail!("retention.classes: days must be at least 1 for query {text:?}");
    }
    Ok(RetentionClass {
        query,
        keep: Duration::from_secs(u64::from(file.days) * 24 * 3600),
    })
}

fn read_file(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in the configuration {}", path.display()))
}

fn env_networks(name: &str) -> Result<Vec<IpNet>> {
    let text = std::env::var(name).unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse::<IpNet>()
                .or_else(|_| part.parse::<std::net::IpAddr>().map(IpNet::from))
                .with_context(|| format!("{name}: {part:?} is not a network such as 127.0.0.0/8"))
        })
        .collect()
}

fn env_bool(name: &str) -> Result<Option<bool>> {
    match std::env::var(name).ok().as_deref() {
        None | Some("") => Ok(None),
        Some("1" | "true" | "on") => Ok(Some(true)),
        Some("0" | "false" | "off") => Ok(Some(false)),
        Some(other) => bail!("{name}: {other:?} is neither on nor off"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn load(text: &str, change: impl FnOnce(&mut Overrides)) -> Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("watchfire.toml");
        std::fs::write(&path, text).unwrap();
        let mut overrides = Overrides {
            config: Some(path),
            ..Overrides::default()
        };
        change(&mut overrides);
        Config::load(&overrides)
    }

    #[test]
    fn flags_win_over_the_file() {
        let text = "listen = \"127.0.0.1:1\"\ndata = \"/a\"\n[retention]\ndays = 3";
        let config = load(text, |o| o.data = Some("/b".into())).unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.data, Path::new("/b"));
        assert_eq!(config.retention, Duration::from_secs(3 * 86_400));
    }

    #[test]
    fn classes_of_retention_are_read() {
        let text = "[[retention.classes]]\nquery = \"service.name:debug-*\"\ndays = 3\n\
                    [[retention.classes]]\nquery = \"log.level:trace\"\ndays = 1";
        let config = load(text, |_| {}).unwrap();
        let classes: Vec<(&str, u64)> = config
            .retention_classes
            .iter()
            .map(|c| (c.query.text(), c.keep.as_secs()))
            .collect();
        assert_eq!(
            classes,
            [
                ("service.name:debug-*", 3 * 86_400),
                ("log.level:trace", 86_400)
            ]
        );
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("lisen = \"127.0.0.1:1\"", "unknown field `lisen`"),
            ("listen = \"0.0.0.0:7700\"", "--insecure"),
            ("[retention]\ndays = 0", "retention.days"),
            ("[erasure]\nwithin_hours = 0", "erasure.within_hours"),
            (
                "[[retention.classes]]\nquery = \"a:(b\"\ndays = 3",
                "retention.classes: query \"a:(b\" cannot be read",
            ),
            (
                "[[retention.classes]]\nquery = \"a:b\"\ndays = 0",
                "retention.classes: days must be at least 1",
            ),
            (
                "[[retention.classes]]\nquery = \"*\"\ndays = 3",
                "set retention.days instead",
            ),
            ("[[retention.classes]]\nquery = \"a:b\"", "days"),
            ("rules = [\"/does/not/exist\"]", "/does/not/exist"),
            ("[webhooks]\nallow = [\"loopback\"]", "allow"),
            ("[backup]\ndir = \"here\"", "absolute"),
            (
                "[encryption]\nkey_file = \"/does/not/exist\"",
                "/does/not/exist",
            ),
        ];
        for (text, part) in cases {
            let error = format!("{:#}", load(text, |_| {}).unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(load("listen = \"0.0.0.0:7700\"", |o| o.insecure = true).is_ok());
    }
}
