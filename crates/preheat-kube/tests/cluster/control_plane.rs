//! etcd, kube-apiserver and kube-controller-manager as child processes on loopback.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use preheat_kube::manifests::{NAME, NAMESPACE};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use tokio::process::{Child, Command};

/// Time that a server has to answer.
const START_MAX: Duration = Duration::from_secs(60);
/// Between two looks whether it does.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
pub(crate) const ADMIN_TOKEN: &str = "admin-token";

/// The running servers. Dropping it kills them.
pub(crate) struct ControlPlane {
    /// In the order of their start.
    servers: Vec<Child>,
    folder: tempfile::TempDir,
    url: String,
    admin: Client,
}

impl ControlPlane {
    pub(crate) async fn start(binaries: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        write_keys(folder.path());
        write_proxy_keys(folder.path());
        fs::write(path("tokens.csv"), format!("{ADMIN_TOKEN},admin,1,system:masters\n")).unwrap();
        let [etcd, peers, api, manager] = free_ports();
        let (etcd, peers) =
            (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{peers}"));
        let url = format!("https://127.0.0.1:{api}");
        let spawn = |program: &str, arguments: &[String]| {
            let log = fs::File::create(path(&format!("{program}.log"))).unwrap();
            Command::new(binaries.join(program))
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        };
        let flag = |name: &str, value: &str| format!("--{name}={value}");
        let mut servers = vec![spawn(
            "etcd",
            &[
                flag("data-dir", &path("etcd")),
                flag("listen-client-urls", &etcd),
                flag("advertise-client-urls", &etcd),
                flag("listen-peer-urls", &peers),
                flag("initial-advertise-peer-urls", &peers),
                flag("initial-cluster", &format!("default={peers}")),
                "--unsafe-no-fsync".to_owned(),
            ],
        )];
        servers.push(spawn(
            "kube-apiserver",
            &[
                flag("etcd-servers", &etcd),
                flag("bind-address", "127.0.0.1"),
                flag("advertise-address", "127.0.0.1"),
                flag("secure-port", &api.to_string()),
                flag("endpoint-reconciler-type", "none"),
                flag("service-cluster-ip-range", "10.0.0.0/24"),
                flag("tls-cert-file", &path("server.crt")),
                flag("tls-private-key-file", &path("server.key")),
                flag("service-account-issuer", "https://kubernetes.default.svc"),
                flag("service-account-key-file", &path("accounts.pub")),
                flag("service-account-signing-key-file", &path("accounts.key")),
                flag("authorization-mode", "RBAC"),
                flag("token-auth-file", &path("tokens.csv")),
                // The aggregator tells us by these who asks.
                flag("requestheader-client-ca-file", &path("proxies.crt")),
                flag("requestheader-allowed-names", "front-proxy-client"),
                flag("requestheader-username-headers", "X-Remote-User"),
                flag("requestheader-group-headers", "X-Remote-Group"),
                flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
                flag("proxy-client-cert-file", &path("proxy.crt")),
                flag("proxy-client-key-file", &path("proxy.key")),
                // It would mount tokens that no kubelet is there to mount.
                flag("disable-admission-plugins", "ServiceAccount"),
            ],
        ));
        let admin = client(&url, folder.path(), ADMIN_TOKEN).await;
        answers(&admin, &mut servers[1], &folder.path().join("kube-apiserver.log")).await;
        let kubeconfig = path("manager.kubeconfig");
        fs::write(&kubeconfig, kubeconfig_text(&url, folder.path(), ADMIN_TOKEN)).unwrap();
        servers.push(spawn(
            "kube-controller-manager",
            &[
                flag("kubeconfig", &kubeconfig),
                flag("authentication-kubeconfig", &kubeconfig),
                flag("authorization-kubeconfig", &kubeconfig),
                flag("bind-address", "127.0.0.1"),
                flag("secure-port", &manager.to_string()),
                flag("leader-elect", "false"),
                // Hundreds of Deployments are made at once by `hundreds`.
                flag("kube-api-qps", "200"),
                flag("kube-api-burst", "400"),
                // Each controller with its own account, and so with the rights it has in a cluster.
                flag("use-service-account-credentials", "true"),
                flag("horizontal-pod-autoscaler-sync-period", "1s"),
                flag(
                    "controllers",
                    "deployment-controller,replicaset-controller,statefulset-controller,\
                 garbage-collector-controller,namespace-controller,\
                 horizontal-pod-autoscaler-controller",
                ),
            ],
        ));
        Self { servers, folder, url, admin }
    }

    /// May do everything.
    pub(crate) fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// How to reach it as one who may do everything. Beside this file are the authority's certificate,
    /// and a key and a certificate for servers on loopback.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("manager.kubeconfig")
    }

    /// The apiserver's process.
    pub(crate) fn apiserver(&self) -> Pid {
        let pid = self.servers[1].id().unwrap();
        Pid::from_raw(i32::try_from(pid).unwrap())
    }

    /// A client with preheat's own service account, and so with the rights that are shipped and no
    /// others.
    pub(crate) async fn preheat(&self) -> Client {
        client(&self.url, self.folder.path(), &token(&self.admin, NAMESPACE, NAME).await).await
    }

    /// How another process reaches it with these rights.
    pub(crate) async fn preheat_kubeconfig(&self) -> PathBuf {
        let file = self.folder.path().join("preheat.kubeconfig");
        let token = token(&self.admin, NAMESPACE, NAME).await;
        fs::write(&file, kubeconfig_text(&self.url, self.folder.path(), &token)).unwrap();
        file
    }

    /// The processes by their names.
    pub(crate) fn processes(&self) -> [(&'static str, u32); 3] {
        let names = ["etcd", "kube-apiserver", "kube-controller-manager"];
        std::array::from_fn(|index| (names[index], self.servers[index].id().unwrap()))
    }

    /// Ends the servers, last started first.
    pub(crate) async fn stop(mut self) {
        for server in self.servers.iter_mut().rev() {
            if let Some(pid) = server.id().and_then(|pid| i32::try_from(pid).ok()) {
                // One that has ended already is what was wanted.
                let _sent = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            if tokio::time::timeout(Duration::from_secs(10), server.wait()).await.is_err() {
                server.kill().await.unwrap();
            }
        }
    }
}

/// An hour's token of a service account.
pub(crate) async fn token(admin: &Client, namespace: &str, account: &str) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
    let request = TokenRequest {
        metadata: Default::default(),
        spec: TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() },
        status: None,
    };
    let params = PostParams::default();
    let request = accounts.create_token_request(account, &params, &request).await.unwrap();
    request.status.unwrap().token
}

/// An authority, a server's certificate for loopback, and a key to sign accounts' tokens with.
fn write_keys(folder: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let accounts = KeyPair::generate().unwrap();
    for (name, text) in [
        ("authority.crt", authority_certificate.pem()),
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}

/// An authority of the aggregator's own, and the certificate that it shows.
fn write_proxy_keys(folder: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "proxies");
    let certificate = authority.self_signed(&authority_key).unwrap();
    fs::write(folder.join("proxies.crt"), certificate.pem()).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut proxy = CertificateParams::new(Vec::new()).unwrap();
    proxy.distinguished_name = DistinguishedName::new();
    proxy.distinguished_name.push(DnType::CommonName, "front-proxy-client");
    proxy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let proxy = proxy.signed_by(&key, &issuer).unwrap();
    fs::write(folder.join("proxy.crt"), proxy.pem()).unwrap();
    fs::write(folder.join("proxy.key"), key.serialize_pem()).unwrap();
}

/// Ports that nobody listens on. They are let go before they are used: loopback has enough of them.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

fn kubeconfig_text(url: &str, folder: &Path, token: &str) -> String {
    let authority: PathBuf = folder.join("authority.crt");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: \"{url}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: test, user: {{token: \"{token}\"}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
        authority.display()
    )
}

async fn client(url: &str, folder: &Path, token: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&kubeconfig_text(url, folder, token)).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Waits until the apiserver says that it is ready.
async fn answers(client: &Client, server: &mut Child, log: &Path) {
    let ready = async {
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            if client.request_text(request).await.is_ok_and(|text| text == "ok") {
                return;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    let answered = tokio::select! {
        answered = tokio::time::timeout(START_MAX, ready) => answered.is_ok(),
        _ended = server.wait() => false,
    };
    if !answered {
        let log = fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        panic!("the apiserver does not answer; it said, newest first:\n{}", tail.join("\n"));
    }
}
