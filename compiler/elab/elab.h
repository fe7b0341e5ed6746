/* elab.h: from syntax trees to a graph. Internal to the compiler.
**
** The elaborator is an evaluator: it runs a recipe's items once, with values that are either known now (numbers, names,
** lists, functions, models) or nodes of the graph. Calling a net, a function or an attack evaluates its body again, so the
** graph has no calls; types, rates and kinds are checked where an operation meets its operands, with the chain of calls at
** hand. Two rules keep the language's promises:
**   versions   world.now[state] is the present version of each state; updates replace it, reads use it (language: 3.1)
**   one value  equal pure nodes are made once (el_node looks them up), and equal model calls are one call (model.c)
**
** Files: value.c values and arithmetic; expr.c expressions; builtin.c built-in functions, batch.c those that couple samples;
** weights.c arithmetic of weights, copies of models; call.c functions and blocks; loop.c loops; layer.c layers of nets; model.c
** models and modes; entry.c entries, versions of states, logs; item.c files, imports, names; plugin.c plugins and their ops; data.c
** data sets; step.c steps, updates, optimisers; budget.c; eval.c; program.c phases and run; diag.c messages with their chains; lint.c.
*/
#ifndef ADV_COMPILER_ELAB_H
#define ADV_COMPILER_ELAB_H

#include "compiler/graph/graph.h"
#include "dsl/ast.h"
#include "ops/plugin.h"
#include "ops/view.h"

#include <assert.h>
#include <jansson.h>

typedef struct El El;
typedef struct ElScope ElScope;
typedef struct ElModule ElModule;
typedef struct ElItem ElItem;
typedef struct ElModel ElModel;
typedef struct ElFn ElFn;
typedef struct ElVal ElVal;

/* ---- values ---------------------------------------------------------------------------------------------------- */

typedef enum ElKind {
    EL_POISON = 0, /* reported already: whatever meets it is poison too */
    EL_NUMBER,     /* known now: num, and p/q while exact */
    EL_STRING,
    EL_NAME,       /* of a closed list: linf, test, envelope */
    EL_LIST,
    EL_PAIRS,      /* [75: 0.01]: list of key, value, key, value */
    EL_RANGE,      /* list of two */
    EL_FN,
    EL_MODEL,
    EL_TENSOR,
    EL_WEIGHTS     /* a tensor for each parameter of `model` */
} ElKind;

/* What a tensor (or number) means; the language's "kinds". */
typedef enum ElSort { EL_NUM = 0, EL_COND, EL_CLASS, EL_PROBS } ElSort;

#define EL_MAX_DRAWS 64 /* networks that dropout makes of one model: draws 0..63 */
typedef enum ElMode { EL_TRAIN = 0, EL_BATCH, EL_EVAL, EL_MC, EL_AGAIN } ElMode;
enum { EL_RESULTS = 1 };    /* mode of a list that a `return` of several values gave */
typedef enum ElNorm { EL_NO_BALL = 0, EL_LINF, EL_L2 } ElNorm;

struct ElVal {
    uint8_t kind, sort, rate;  /* ElKind, ElSort, AdvRate */
    uint8_t mode;              /* EL_MODEL: ElMode; EL_LIST: EL_RESULTS or 0 */
    uint8_t norm;              /* EL_TENSOR that was just projected, or that an attack returns: ElNorm of its ball */
    AdvSpan span;              /* the expression */
    AdvSpan born;              /* EL_NUMBER: what first gave it, which a name keeps; file 0: not noted */
    double num;                /* EL_NUMBER */
    int64_t p, q;              /* EL_NUMBER: exact p/q, q > 0; q == 0: only num */
    AdvValueId t;              /* EL_TENSOR; of rate sample: dim 0 is the batch */
    AdvStr name;               /* EL_STRING, EL_NAME */
    ElVal *list;               /* EL_LIST, EL_PAIRS, EL_RANGE */
    uint32_t n;                /* of list; of a class index: how many classes, 0: unknown; of a model's tensor in its net: which state */
    ElFn *fn;
    ElModel *model;            /* EL_MODEL, EL_WEIGHTS */
    AdvValueId *w;             /* EL_WEIGHTS: the weights in the order of model->params, then the running statistics (none: 0) */
};

/* A function value. */
typedef enum ElFnKind { EL_FN_TEMPLATE /* fn, loss, net, attack */, EL_FN_LAMBDA, EL_FN_BUILTIN, EL_FN_MODEL, EL_FN_OP } ElFnKind;
typedef struct ElArg { AdvStr name; ElVal val; bool bar; AdvSpan span; } ElArg;
typedef struct ElBuiltin ElBuiltin;
struct ElFn {
    ElFnKind kind;
    const char *name;          /* for messages */
    ElModule *module;          /* TEMPLATE, LAMBDA: whose names it sees */
    const Ast *ast;
    AstId node;                /* TEMPLATE: the item; LAMBDA: the node */
    ElScope *scope;            /* LAMBDA: captured */
    const ElBuiltin *builtin;
    ElModel *model;            /* MODEL */
    const AdvOpDef *op;        /* OP: of a plugin */
    uint8_t mode;
};

/* A built-in function: gets checked arguments in the table's order; absent optional ones are EL_POISON with kind 0 and span 0. */
#define EL_MAX_PARAMS 12
typedef struct ElCall { El *el; const char *name; AdvSpan span; ElVal *arg; uint32_t n_arg; bool *given; ElScope *scope; } ElCall;
struct ElBuiltin {
    const char *name;
    const char *params;        /* "v, lo, norm=", "*v": see builtin_formals in call.c */
    ElVal (*run)(ElCall *c);
    bool in_net;               /* a layer: exists in nets only */
    const char *doc;           /* one line: arguments, result, fixed points */
};

/* ---- scopes, items, modules -------------------------------------------------------------------------------------- */

typedef struct ElBind {
    AdvStr name;
    ElVal val;
    AdvSpan at;
    bool is_carry, used;
    struct ElBind *next;
} ElBind;

struct ElScope {
    ElScope *parent;
    ElBind *binds;
    bool is_turn; /* of a loop's body: its names end with the turn */
};

typedef enum ElItemKind {
    EL_ITEM_PARAM,
    EL_ITEM_FN,
    EL_ITEM_MODEL,
    EL_ITEM_STATE,
    EL_ITEM_EQUATION,
    EL_ITEM_SIGNAL,
    EL_ITEM_SECTION,
    EL_ITEM_OPTIM,
    EL_ITEM_OP
} ElItemKind;
struct ElItem {
    AdvStr name;
    ElItemKind kind;
    ElModule *module;
    AstId node;
    AdvSpan at;
    uint32_t out_ix;           /* equation of several names */
    /* memo of params, models, fns: for the whole recipe; of equations and signals: for the entry with this serial */
    uint32_t done_serial;
    bool busy, used;
    uint32_t prepared;         /* FN: number of the latest el_prepare that has walked its body */
    ElVal val;
    ElModel *model;            /* MODEL */
    AdvStateId state;          /* STATE */
    uint8_t state_kind;        /* STATE: EL_PER_* */
    const AdvOpDef *op;        /* OP */
};
enum { EL_PER_SAMPLE = 1, EL_PER_CLASS, EL_PER_SLOT, EL_ONCE };
typedef ADV_VEC(ElItem *) ElItems;

struct ElModule {
    AdvStr name;               /* "std.attacks", a path as opened, a plugin's name, or 0 for the recipe */
    const Ast *ast;            /* NULL: a plugin */
    uint32_t file;
    bool is_recipe, is_std;
    ElItems items;
    ADV_VEC(ElModule *) imports;
    ADV_VEC(AdvStr) aliases;   /* of each import, or 0 */
};

/* ---- models -------------------------------------------------------------------------------------------------------- */

typedef enum ElInit { EL_INIT_TORCH = 0, EL_INIT_HE_OUT, EL_INIT_ZERO, EL_INIT_ONE, EL_INIT_VALUE } ElInit;
typedef struct ElParam {       /* a state of a model and how it starts */
    AdvStateId state;
    uint8_t init;              /* ElInit */
    bool is_buffer;
    double fan_in, value;
    const void *seen_by;       /* the ElMemo that asked for it last: a second layer of one call must not */
} ElParam;
struct ElModel {
    AdvStr name;
    ElFn *net;
    ElArg *args;               /* bound when declared */
    uint32_t n_args;
    ADV_VEC(ElParam) params;   /* weights and running statistics, in order of first use */
    bool called, has_bn, has_dropout, classifies;  /* classifies: gave [N,classes] */
    int64_t n_out;             /* numbers per sample that a call with images gave last; 0: none yet */
    uint32_t n_updates;        /* by optimisers, in this entry */
    ElModel *copy_of;          /* of `copy(f)` */
    const char *weights_file;  /* of `weights = "file"`, or NULL */
    AdvSpan at;
};

/* One computation of a model: its result and what training mode would do to the running statistics (only `when`, if given). */
typedef struct ElStat { AdvStateId state; AdvValueId next_of, when; double momentum; } ElStat;
typedef struct ElLayer { const char *name, *shape; AdvSpan at; } ElLayer;  /* passed on the way through a net */
typedef struct ElMemo {
    uint64_t key, args_key;    /* args_key: mode and arguments without versions */
    uint32_t n_updates;        /* of the model when it was called */
    ADV_VEC(ElLayer) layers;   /* the input first */
    AdvRegionId region;
    ElModel *model;
    ElVal result;
    ADV_VEC(ElStat) stats;
    AdvRegionId counted_in;    /* region in which a training call already moved the statistics; none: nowhere */
} ElMemo;

/* ---- the elaborator -------------------------------------------------------------------------------------------------- */

typedef struct ElWorld { AdvValueId *now; uint32_t n; } ElWorld;  /* by state id; none: not read yet in this entry */

typedef struct ElFrame {       /* one call in progress, innermost first */
    struct ElFrame *up;
    const char *what;          /* callee's name */
    AdvSpan at;                /* call site */
    uint64_t place;            /* hash of the chain of calls: names random draws */
    uint32_t n_draws, n_calls;
    AdvLocId loc;              /* of the call site, with its chain */
    bool is_attack, is_net;
    uint8_t attack_norm;       /* ElNorm of the ball that it projected onto last */
    /* nets: names of layers */
    AdvStr prefix;             /* "f.layer1.0" */
    AdvStr label;              /* of the layer being made, or 0 */
    bool inherit;              /* an unlabelled net called here adds no name (bodies of repeat) */
    ADV_VEC(AdvStr) kinds;     /* counting unlabelled layers */
    ADV_VEC(uint32_t) kind_counts;
    ElMode mode;
    int64_t mc_draw;
    ElVal rows;
    ElMemo *memo;
    ElModel *model;
} ElFrame;

typedef struct ElTurn { AdvValueId turn; int64_t n; struct ElTurn *up; } ElTurn;  /* loops around the present place */

typedef struct ElPhase { AdvStr name; AstId node; int64_t from, to; AdvSpan at; ElItems items; } ElPhase;

typedef struct ElDataset {
    const char *name;
    int64_t n_train, n_test, height, width, channels, classes;
} ElDataset;

typedef struct ElData {
    bool given;
    AdvSpan at;
    const ElDataset *set;      /* NULL: synthetic */
    bool is_own;               /* f32 of any shape, brought by whoever runs the plan */
    int64_t n_train, n_val, n_test, batch, classes;
    uint32_t rank;             /* of an example */
    int64_t dim[ADV_MAX_RANK];
    AstId augment;             /* list expression, or none */
    AstId x, y;                /* synthetic: expressions */
    const char *name;
} ElData;

typedef struct ElOverride { AdvStr key; ElVal val; AdvSpan at; bool used; } ElOverride; /* `--set key=val` */
typedef struct ElPending { AdvStr name; ElVal val; AdvSpan at; } ElPending;             /* `name <- val` */

typedef struct ElVersion { AdvStateId state; AdvValueId value; } ElVersion;

typedef struct ElWithin { bool is_known; double lo, hi; } ElWithin; /* bounds of a budget, if they are numbers and differ */
typedef struct ElLog {
    AdvStr name;
    AdvStateId state;
    bool per_sample, is_eps, is_bounded;
    ElWithin within;
    ADV_VEC(AdvStr) phases;    /* those that compute it */
} ElLog;

/* The `worst` of an evaluation's entry, which becomes stages (eval.c): which call, and which of its candidates to give. */
typedef struct ElWorst {
    bool is_on;                /* an entry is being made */
    uint64_t place;            /* of the last call seen */
    uint32_t n;                /* its candidates */
    AdvValueId out;
    ElVal f;
    uint64_t pick_place;       /* 0: none */
    uint32_t pick;
} ElWorst;

struct El {
    AdvArena *arena;
    AdvInterns *names;
    AdvDiags *ds;
    AdvGraph *g;
    ElModule *recipe;
    ADV_VEC(ElModule *) modules;
    const char *(*load)(void *user, const char *path, size_t *out_bytes); /* text of an imported file, or NULL; for `use "file.adv"` */
    void *load_user;
    AdvRegistry *reg;          /* the graph's, to add plugins to */
    const char *const *plugins; /* paths given by the caller, n_plugins of them: they come before the recipe's folder */
    uint32_t n_plugins;
    int32_t cuda_sm;           /* the device that plugins are for, or 0 */
    bool no_plugins;
    AdvStatus plugin_status;   /* why a plugin was not loaded */
    ADV_VEC(ElOverride) overrides;
    json_t *params_json;       /* origins of parameters */

    /* present entry */
    AdvRegionId entry;
    AdvRegionId region;
    ElWorld world;
    ElFrame *frame;
    ElTurn *turns;
    ElTurn *replay;            /* the turns of `replay`, which progress counts */
    uint32_t serial;           /* of the entry: memo of equations */
    ADV_VEC(ElMemo *) memos;
    ADV_VEC(ElVersion) versions; /* every version a state had, oldest first */
    ADV_VEC(ElPending) pending; /* written at the end of the step or turn */
    struct { uint64_t hash; AdvRegionId region; AdvNodeId node; } *cons; /* nodes made, by what they are */
    uint32_t n_cons, cap_cons;
    int64_t n_batch;           /* rows of the entry's batch; 0 outside a batch */
    bool in_eval, in_step, in_init;
    bool live;                 /* inside live(...): gradients keep their derivatives */
    ElVal x, y, ids, mask;     /* EL_TENSOR where the entry has them */
    ElPhase *phase;            /* NULL outside steps */
    ElVal budget_eps;          /* EL_TENSOR once the budget is computed */
    ElWithin budget_within;
    bool budget_done, budget_busy, budget_envelope;
    ElWorst worst;
    const char *layer;         /* the layer being made, or NULL */

    /* the whole */
    ADV_VEC(ElPhase *) phases;
    ADV_VEC(ElModel *) models;
    ADV_VEC(ElLog) logs;
    ADV_VEC(ElParam) inits;    /* every saved state's first value */
    ElData data;
    int64_t epochs, steps, seed;
    json_t *evals;
    uint32_t n_prepares;       /* calls of el_prepare so far */
    uint32_t depth, n_calls;   /* of expressions in progress; of calls in all */
    bool gave_up;              /* the recipe unfolds into too much: all further calls and nodes are poison */
    bool lacks_json;           /* a part of the program found no memory: the whole is worth nothing */

    /* lints */
    bool budget_seen;
    bool told_selection;       /* of test_used_for_selection one warning */
    bool trains;               /* some step moves the weights of a model */
    ADV_VEC(double) radii;     /* constant radii of training */
    ADV_VEC(double) eval_radii;
    bool radii_open;           /* training has others, not known before the run */
};

/* ---- value.c ---- */
AdvTensorType el_type(uint8_t dtype, uint32_t rank, const int64_t *dim);
ElVal el_poison(AdvSpan at);
ElVal el_number(double v, AdvSpan at);
ElVal el_ratio(int64_t p, int64_t q, AdvSpan at);
ElVal el_tensor(El *el, AdvValueId t, AdvRate rate, ElSort sort, AdvSpan at);  /* poison if t is none */
/* One node, made once: the location is the present call chain at `at`. Result k of out is first.i + k. */
AdvValueId el_node(El *el, AdvSpan at, const char *op, const AdvValueId *in, uint32_t n_in, const AdvAttr *attrs);
AdvValueId el_n1(El *el, AdvSpan at, const char *op, AdvValueId a);
AdvValueId el_n2(El *el, AdvSpan at, const char *op, AdvValueId a, AdvValueId b);
AdvValueId el_n3(El *el, AdvSpan at, const char *op, AdvValueId a, AdvValueId b, AdvValueId c);
AdvValueId el_const(El *el, double v, uint8_t dtype);
AdvLocId el_loc(El *el, AdvSpan at);
AdvGraphBuild el_build(El *el, AdvSpan at);
/* A number or tensor as a float graph value (class indices and ids are cast). None for poison. */
AdvValueId el_graph(El *el, ElVal v);
/* Dimensions without the batch. */
uint32_t el_rank(const El *el, ElVal v);
int64_t el_dim(const El *el, ElVal v, uint32_t k);
bool el_is_value(ElVal v);           /* number or tensor */
ElVal el_class(El *el, AdvValueId t, int64_t n_classes, AdvSpan at); /* a class index of each sample */
/* Reports a class index that may lie beyond the entries of `row`. */
bool el_class_fits(El *el, ElVal cls, ElVal row, AdvSpan at);
const char *el_describe(El *el, ElVal v);  /* "[N,3,32,32]", "one number per sample", "a model", ... */
const char *el_describe_type(El *el, const AdvTensorType *t);  /* "[16,3,3,3]" */
/* Elementwise op on operands that fit (language: 2); folds numbers. Reports and returns poison where they do not. */
ElVal el_elementwise(El *el, AdvSpan at, const char *shown, const char *op, const ElVal *v, uint32_t n, ElSort sort);
/* `v` as a [N]-or-scalar value broadcast to the shape of `like`'s elementwise partner: reshape [N] to [N,1,..]. */
AdvValueId el_fit_to(El *el, AdvSpan at, ElVal v, uint32_t rank, bool has_n);
/* Takes the whole shape (or else the batch) away by op "sum", "mean", ... */
ElVal el_reduce(El *el, AdvSpan at, const char *op, ElVal v);
bool el_int(El *el, ElVal v, const char *what, int64_t lo, int64_t hi, int64_t *out);  /* a whole number known now, or a diagnostic */
bool el_float(El *el, ElVal v, const char *what, double *out);
bool el_between(El *el, ElVal v, const char *what, double lo, double hi);  /* of a number; else a diagnostic */
ElVal el_stop_grad(El *el, ElVal v);
/* A draw shaped like dims (without N); shared by the batch if !per_sample. n = draw index. */
ElVal el_draw(El *el, AdvSpan at, int dist, double p, uint64_t purpose, bool per_sample, uint32_t rank, const int64_t *dim, int64_t draw);
/* A tensor brought to exactly this type (without the batch where !has_n) by broadcasting. */
AdvValueId el_broadcast(El *el, AdvSpan at, ElVal v, AdvTensorType t, bool has_n);
uint64_t el_purpose(El *el, const char *what);  /* the next draw's place */

/* Sets the attribute of that name in a table-ordered array. */
void el_attr_set(const AdvOpDef *op, AdvAttr *attrs, const char *name, AdvAttr value);

/* ---- expr.c ---- */
ElVal el_expr(El *el, ElModule *m, ElScope *s, AstId id);
/* A value of rate once: number, or poison with a diagnostic. */
ElVal el_const_expr(El *el, ElModule *m, ElScope *s, AstId id, const char *what);

/* ---- call.c ---- */
ElScope *el_scope_new(El *el, ElScope *parent);
ElBind *el_bind(El *el, ElScope *s, AdvStr name, ElVal v, AdvSpan at);
ElBind *el_find(ElScope *s, AdvStr name);
ElVal el_call(El *el, ElFn *fn, ElArg *args, uint32_t n_args, AdvSpan at, ElScope *scope);
ElVal el_call1(El *el, ElFn *fn, ElVal a, AdvSpan at);
/* Reports a name that has a value already: in this block, or in a block that this one is a loop of, where `=` would make a second
** value that ends with the turn. `carry` may hide a name of outside: an inner loop has its own. */
bool el_has_value(El *el, const ElScope *s, AdvStr name, AdvSpan at, bool is_carry);
bool el_assign(El *el, ElModule *m, ElScope *s, AstId stmt);

/* Reports names that the engine gives (`x`, `epoch`, ...): of a definition, of each on the left of the recipe's `a, b = e`. */
bool el_own_name(El *el, AdvStr name, AdvSpan at);
bool el_own_names(El *el, AstId assign);
/* A model's net: how many parameters are left as inputs / is this one of them? / has each argument a parameter (else a diagnostic)? */
uint32_t el_n_inputs(El *el, const ElFn *net, const ElArg *args, uint32_t n_args);
bool el_is_input(El *el, const ElFn *net, AdvStr name);
bool el_args_named(El *el, const ElFn *net, const ElArg *args, uint32_t n_args);
/* Has the template a parameter of this name? */
bool el_has_param(El *el, const ElFn *fn, const char *name);
/* Are a template's parameters names, each once? Else diagnostics. */
bool el_params_ok(El *el, ElModule *m, AstId params);
/* Evaluates AST arguments (children of `call` from child `first_child` on) into an array. */
ElArg *el_args(El *el, ElModule *m, ElScope *s, AstId call, uint32_t first_child, uint32_t *out_n);
void el_push(El *el, ElFrame *f, const char *what, AdvSpan at);
void el_pop(El *el);

/* ---- loop.c ---- */
/* A loop: `body` gets the turn and the carried values and returns the next ones in place. States that the body changes are
** carried too. Types of the carried values rise until they hold. Returns false after a diagnostic. */
typedef bool ElLoopBody(El *el, void *user, ElVal turn, ElVal *carried);
bool el_loop(El *el, AdvSpan at, int64_t n_turns, ElVal *carried, uint32_t n_carried, ElLoopBody *body, void *user);

/* ---- builtin.c, layer.c ---- */
const ElBuiltin *el_builtin(const char *name);
const ElBuiltin *el_layer(const char *name);
extern const ElBuiltin el_builtins[], el_layers[];  /* ended by name NULL */
const char *el_layer_name(El *el, const char *kind);  /* full name of the layer being made; consumes the label */

/* ---- entry.c ---- */
void el_entry_begin(El *el, const char *name, AdvSpan at, int64_t n_batch);
void el_entry_end(El *el);
AdvValueId el_state(El *el, AdvStateId s);                       /* present version */
void el_state_set(El *el, AdvStateId s, AdvValueId v);
void el_version(El *el, AdvStateId s, AdvValueId v);             /* notes that v is a version of s */
/* The state of that name, made if there is none yet: at the beginning of the recipe, or where a place stands for it. */
AdvStateId el_slot(El *el, const char *name, AdvTensorType t, uint8_t kind, bool saved);
AdvStateId el_slot_at(El *el, AdvSpan at, const char *name, AdvTensorType t, uint8_t kind, bool saved);
void el_log(El *el, AdvStr name, ElVal v, bool is_eps);
AdvValueId el_counter(El *el, const char *name);                 /* "run.epoch", "run.step": what the runtime counts */
ElVal el_epoch(El *el, AdvSpan at);
ElVal el_progress(El *el, AdvSpan at);

/* ---- model.c ---- */
ElModel *el_model_new(El *el, ElItem *item);
/* The weight or running statistic `leaf` of the layer being made, which is new in the first call of its model. */
ElVal el_net_param(El *el, AdvSpan at, const char *leaf, AdvTensorType type, ElInit init, double fan_in, double value, bool is_buffer);
ElVal el_model_call(El *el, ElModel *m, ElMode mode, ElArg *args, uint32_t n_args, AdvSpan at);
ElVal el_model_touch(El *el, ElModel *m, ElArg *args, uint32_t n_args, AdvSpan at);
/* The versions of the model's weights that e was computed with. false: e does not depend on the model. */
bool el_weights_of(El *el, ElVal e, ElModel *m, AdvValueId *out_w);
uint32_t el_n_weights(const ElModel *m);                         /* without running statistics */
ElVal el_grad(El *el, AdvSpan at, ElVal e, const ElVal *of, uint32_t n_of, ElVal *out, bool live);
void el_init_entry(El *el);

/* ---- batch.c ---- */
typedef ElVal ElBuiltinFn(ElCall *c);
ElBuiltinFn el_fn_rank, el_fn_quantile, el_fn_corr, el_fn_worst, el_fn_class_sum;

/* ---- weights.c ---- */
/* Makes `model` what `copy(f)` says; false after a diagnostic. */
bool el_model_copy(El *el, ElModule *m, AstId call, ElModel *model);
/* Gives a copy the states of its source, once that has been called. */
void el_model_adopt(El *el, ElModel *m);
/* May weights of one stand for those of the other? A model, and copies of it. */
bool el_same_weights(El *el, const ElModel *a, const ElModel *b);
ElVal el_model_weights(El *el, ElModel *m, AdvSpan at);
ElVal el_weights_op(El *el, AdvSpan at, const char *shown, const char *op, ElVal a, ElVal b);
ElVal el_weights_select(El *el, AdvSpan at, ElVal c, ElVal a, ElVal b);
/* `f <- weights`: new versions of weights and running statistics. */
bool el_model_update(El *el, ElModel *m, ElVal v, AdvSpan at);
/* For each copy's state, the state of its source; none for others. By state id. */
AdvStateId *el_copied_from(El *el);
json_t *el_weights_json(El *el);

/* ---- plugin.c ---- */
/* The plugin that `use plugin` names, as a module; NULL after a diagnostic. */
ElModule *el_plugin_import(El *el, ElModule *m, AstId use);
ElVal el_plugin_value(El *el, const ElItem *it);
ElVal el_op_call(El *el, const AdvOpDef *op, ElArg *args, uint32_t n_args, AdvSpan at);
bool el_op_has(const AdvOpDef *op, const char *name);            /* an input port or an attribute of that name */

/* ---- item.c ---- */
ElModule *el_recipe_load(El *el, uint32_t file);                 /* with all that it imports */
ElModule *el_module_parse(El *el, uint32_t file, AdvStr name, bool is_recipe);   /* without looking at its statements */
/* Add the items of a statement to the recipe's or a phase's, or give a diagnostic: names the engine gives, names given twice. */
void el_add_named(El *el, ElModule *m, ElItems *items, ElItemKind kind, AstId stmt);
void el_add_equation(El *el, ElModule *m, ElItems *items, AstId stmt);
ElVal el_lookup(El *el, ElModule *m, ElScope *s, AdvStr name, AdvSpan at, bool callable);
ElItem *el_item(El *el, ElModule *m, AdvStr name);
/* The net of that name: models do not hide nets where a model is made. NULL if there is none. */
ElItem *el_net(El *el, ElModule *m, AdvStr name, AdvSpan at);
ElVal el_item_value(El *el, ElItem *it);
ElVal el_signal(El *el, AdvStr name, ElVal v);                   /* v as a signal: a constant, which a step logs; or poison */
ElItem *el_section(El *el, const char *keyword);                 /* of the recipe (phase first), or NULL; of several the first */
AstId el_section_key(El *el, AstId block, const char *key);      /* the ASSIGN statement's value, or none */
/* Every statement of the block is `key = value` with a key of the list (ended by NULL); else diagnostics. */
bool el_section_check(El *el, AstId block, const char *section, const char *const *keys);
/* Does the word mean something in every recipe: of a closed list, a function or a layer? */
bool el_is_word(const char *word);
/* The value of `--set key=...`, if given. */
ElVal el_override(El *el, const char *key, bool *found);
/* Computes the equations, signals and the budget that names below `id` need, with the weights of this moment. */
void el_prepare(El *el, AstId id);
AstId el_section_block(El *el, const ElItem *section);

/* ---- data.c ---- */
/* Data sets the language knows, ended by name NULL; `synthetic` is not among them. */
extern const ElDataset el_datasets[];
void el_data_read(El *el);
void el_data_entry(El *el);                                      /* `batch` */
void el_batch_slots(El *el, AdvStateId *x, AdvStateId *y, AdvStateId *ids);
bool el_data_fetch(El *el, AdvValueId ids, bool test, bool augment); /* sets el->x, el->y */

/* ---- step.c ---- */
void el_step_entry(El *el, ElPhase *ph);
ElVal el_state_read(El *el, ElItem *st, AdvSpan at);
/* `name <- e`: evaluated here, written by el_flush. */
bool el_update(El *el, ElScope *s, AstId st);
bool el_flush(El *el, uint32_t from);

/* ---- budget.c, eval.c ---- */
bool el_has_budget(El *el);
ElVal el_budget(El *el, AdvSpan at);
/* Is a radius that is known within 0..1? Else a diagnostic. */
bool el_radius_ok(El *el, ElVal eps, AdvSpan at);
bool el_eval_results(El *el);
bool el_evals(El *el);

/* ---- program.c ---- */
/* All of it: sets *out_program (owned by the caller). false after errors. */
bool el_recipe(El *el, uint32_t file, json_t **out_program);

/* ---- adv_compile.c ---- */
/* Text of a std module, or NULL. */
const char *el_std_text(El *el, const char *name, size_t *out_bytes);
/* The std module that defines `word`, without its "std.", or NULL. */
const char *el_std_with(El *el, const char *word);
/* Put `value`, which they take over, into the program. One that is NULL or finds no memory is noted in el->lacks_json. */
void el_json_set(El *el, json_t *object, const char *key, json_t *value);
void el_json_push(El *el, json_t *list, json_t *value);

/* ---- diag.c ---- */
/* As adv_diag, with the calls that lead here and, in a net, the chain of layers. NULL is fine for labels, notes and helps. */
AdvDiag *el_diag(El *el, AdvDiagId id, AdvSpan at, const char *fmt, ...) ADV_PRINTF(4, 5);
bool el_is_override(const El *el, AdvSpan at);  /* in the text of a `--set` */
/* Notes where a number comes from, if that is elsewhere: `--set`, or the line of the caller. */
void el_diag_origin(El *el, AdvDiag *d, ElVal v);
void el_diag_chain(El *el, AdvDiag *d);
void el_diag_keys(El *el, AdvDiag *d, const char *word, const char *const *keys);  /* nearest, and all if few */
void el_given_twice(El *el, const char *key, AdvSpan at, AdvSpan first);  /* a key of a section */
const char *el_text(El *el, AdvSpan at);  /* the source text, in backticks; "this" if it is long */
uint32_t el_layers_begin(El *el);
/* A layer or block is done: it replaces what was passed inside it. */
void el_layers_end(El *el, uint32_t from, const char *name, ElVal result, AdvSpan at);
/* False after a diagnostic: more elements than any machine has. */
bool el_size_ok(El *el, const AdvTensorType *t, AdvSpan at);
/* False, once with a diagnostic: more calls or nodes than a recipe may unfold into. */
bool el_work_ok(El *el, AdvSpan at);
/* Reports; returns poison so that `return el_error(...)` reads well. */
ElVal el_error(El *el, AdvDiagId id, AdvSpan at, const char *fmt, ...) ADV_PRINTF(4, 5);
static inline bool el_bad(ElVal v) { return v.kind == EL_POISON; }

/* ---- lint.c ---- */
void el_lint_radius(El *el, ElVal eps);               /* an attack's radius, as called */
void el_lint_eval_radii(El *el, const char *name, AdvSpan at);
void el_lint_step(El *el, ElVal z, ElVal eps, AdvSpan at);  /* of `ball(z, x, eps)` */
void el_lint_zero(El *el, ElVal eps, ElVal lo, AdvSpan at);  /* lo: the bound of `within`, or poison */
void el_lint_selection(El *el, const char *eval, AdvSpan at, const char *decides);
void el_lint_again(El *el, const ElModel *m, const ElMemo *memo, AdvSpan at);
void el_lint_locals(El *el, const ElScope *s);

#endif
