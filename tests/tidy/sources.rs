//! A crate's sources as modules: what each defines, which names it takes from elsewhere, and which paths it writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// Sources by path.
pub(crate) type Sources = BTreeMap<PathBuf, String>;

/// The segments of a path, such as `crate`, `policy`, `Formula`.
pub(crate) type Segments = Vec<String>;

/// One module, in its own file or within another's.
#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    /// Where its child modules lie.
    pub(crate) folder: PathBuf,
    pub(crate) parent: Option<usize>,
    pub(crate) children: HashMap<String, Vec<usize>>,
    /// What it defines, child modules apart.
    pub(crate) items: HashSet<String>,
    /// What its names stand for. A name has several meanings where `cfg` chooses.
    pub(crate) names: HashMap<String, Vec<Segments>>,
    pub(crate) globs: Vec<Segments>,
    /// The paths of its code, and of its private `use`s.
    pub(crate) paths: Vec<Segments>,
    /// The paths that it exports again.
    pub(crate) exports: Vec<Segments>,
}

/// All modules of a crate; the first is its root.
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

impl Crate {
    /// The crate whose root is `root`. A module without a file is left out, as `cfg` may do.
    pub(crate) fn read(sources: &Sources, root: &Path) -> Self {
        let mut read = Reader {
            sources,
            modules: Vec::new(),
        };
        let folder = root.parent().expect("a file lies in a folder").to_owned();
        read.file(root, folder, None);
        Self {
            modules: read.modules,
        }
    }
}

struct Reader<'a> {
    sources: &'a Sources,
    modules: Vec<Module>,
}

impl Reader<'_> {
    /// Reads `file`, whose child modules lie in `folder`.
    fn file(&mut self, file: &Path, folder: PathBuf, parent: Option<usize>) -> usize {
        let text = &self.sources[file];
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        self.module(file, folder, parent, &parsed.items)
    }

    fn module(
        &mut self,
        file: &Path,
        folder: PathBuf,
        parent: Option<usize>,
        items: &[syn::Item],
    ) -> usize {
        let at = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            folder: folder.clone(),
            parent,
            ..Module::default()
        });
        for item in items {
            if !is_test(item) {
                self.item(at, file, &folder, item);
            }
        }
        at
    }

    fn item(&mut self, at: usize, file: &Path, folder: &Path, item: &syn::Item) {
        if let syn::Item::Mod(child) = item {
            let name = child.ident.to_string();
            let inside = folder.join(&name);
            let module = match &child.content {
                Some((_, items)) => self.module(file, inside, Some(at), items),
                None => {
                    let flat = folder.join(format!("{name}.rs"));
                    let stated = stated_path(child).map(|path| beside(file, &path));
                    let found = [stated.unwrap_or(flat), inside.join("mod.rs")];
                    let Some(path) = found.iter().find(|path| self.sources.contains_key(*path))
                    else {
                        return;
                    };
                    self.file(path, inside, Some(at))
                }
            };
            let children = &mut self.modules[at].children;
            children.entry(name).or_default().push(module);
        } else {
            Collector(&mut self.modules[at]).visit_item(item);
            if let Some(name) = name_of(item) {
                self.modules[at].items.insert(name);
            }
        }
    }
}

/// What `#[path]` says of a module.
fn stated_path(module: &syn::ItemMod) -> Option<String> {
    let mut stated = module.attrs.iter().filter(|it| it.path().is_ident("path"));
    let value = &stated.next()?.meta.require_name_value().ok()?.value;
    match value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(path),
            ..
        }) => Some(path.value()),
        _ => None,
    }
}

/// A path that is told from a file's folder.
fn beside(file: &Path, path: &str) -> PathBuf {
    let mut whole = file.parent().map(Path::to_owned).unwrap_or_default();
    for part in Path::new(path) {
        if part == ".." {
            whole.pop();
        } else {
            whole.push(part);
        }
    }
    whole
}

/// Whether an item is only there in tests.
fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(means_test)
}

fn means_test(attribute: &syn::Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else {
        return false;
    };
    let condition = list.tokens.to_string();
    attribute.path().is_ident("cfg")
        && (condition == "test" || condition.replace(' ', "").starts_with("all(test,"))
}

fn name_of(item: &syn::Item) -> Option<String> {
    let name = match item {
        syn::Item::Const(item) => &item.ident,
        syn::Item::Enum(item) => &item.ident,
        syn::Item::Fn(item) => &item.sig.ident,
        syn::Item::Macro(item) => item.ident.as_ref()?,
        syn::Item::Static(item) => &item.ident,
        syn::Item::Struct(item) => &item.ident,
        syn::Item::Trait(item) => &item.ident,
        syn::Item::Type(item) => &item.ident,
        syn::Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Takes the names and the paths of one item.
struct Collector<'a>(&'a mut Module);

impl Collector<'_> {
    fn tree(&mut self, tree: &syn::UseTree, mut before: Segments, is_export: bool) {
        let (name, alias) = match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                return self.tree(&path.tree, before, is_export);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before.clone(), is_export);
                }
                return;
            }
            syn::UseTree::Glob(_) => return self.0.globs.push(before),
            syn::UseTree::Name(name) => (name.ident.to_string(), name.ident.to_string()),
            syn::UseTree::Rename(name) => (name.ident.to_string(), name.rename.to_string()),
        };
        let alias = match name.as_str() {
            "self" => before.last().cloned().unwrap_or_default(),
            _ => {
                before.push(name);
                alias
            }
        };
        let paths = if is_export {
            &mut self.0.exports
        } else {
            &mut self.0.paths
        };
        paths.push(before.clone());
        self.0.names.entry(alias).or_default().push(before);
    }

    /// The paths among the tokens of a macro.
    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        use proc_macro2::TokenTree;
        let mut path = Segments::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.0.paths.push(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                token => {
                    self.0.paths.push(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = token {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.0.paths.push(path);
    }
}

impl<'a> Visit<'a> for Collector<'_> {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if item.leading_colon.is_none() && !item.attrs.iter().any(means_test) {
            let is_export = !matches!(item.vis, syn::Visibility::Inherited);
            self.tree(&item.tree, Segments::new(), is_export);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.leading_colon.is_none() {
            let segments = path.segments.iter();
            let segments = segments.map(|segment| segment.ident.to_string());
            self.0.paths.push(segments.collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'a syn::Attribute) {}

    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !item.attrs.iter().any(means_test) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !item.attrs.iter().any(means_test) {
            visit::visit_impl_item_fn(self, item);
        }
    }
}
