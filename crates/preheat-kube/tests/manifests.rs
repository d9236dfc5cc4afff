//! The files under `deploy/` say what the code says.

use std::fs;
use std::path::Path;

#[test]
fn deploy_is_as_the_code_makes_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let update = std::env::var_os("UPDATE_DEPLOY").is_some();
    if update {
        fs::create_dir_all(&folder).unwrap();
    }
    for file in preheat_kube::manifests::files().unwrap() {
        let path = folder.join(file.name);
        if update {
            fs::write(&path, &file.text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(kept, file.text, "deploy/{} is old; run `make deploy`", file.name);
    }
}
