package io.faithfulsae.cli;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.cli.console.Closer;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.metrics.ProbeTask;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.metrics.Probing.Options;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.compare.ResultFile;
import io.faithfulsae.study.compare.RunFields;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.provenance.TrainedOn;
import io.faithfulsae.study.tasks.ProbingPlot;
import io.faithfulsae.study.tasks.ProbingRun;
import io.faithfulsae.study.tasks.TaskFile;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae probe}: measures how well a task can be predicted from latents. */
@Command(
    name = "probe",
    description =
        "Fits linear classifiers for text tasks on a model's activations, on SAEs' latents and on"
            + " their reconstructions; SAEs trained on the same data set count as seeds and are averaged.")
final class ProbeCommand implements Callable<Integer>, WritesFiles {
  private static final int DEFAULT_CONTEXT = 128;

  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;
  @Mixin ModelOptions models;
  @Mixin FilterOptions filters;
  @Mixin ModelMatch match;

  @Option(
      names = "--sae",
      paramLabel = "DIR",
      split = ",",
      required = true,
      description = "SAE folders, all for the same hook point.")
  List<Path> saes = List.of();

  @Option(
      names = "--data",
      paramLabel = "DIR",
      description =
          "Folder that contains sst2, cola, ag_news and yelp_polarity, or some of them, as"
              + " published.")
  @Nullable Path data;

  @Option(
      names = "--tasks",
      paramLabel = "FILE.yaml",
      description = "Other tasks, described in the format of the built-in ones (docs/study.md).")
  @Nullable Path tasks;

  @Option(
      names = "--task",
      paramLabel = "NAME",
      split = ",",
      description = "Tasks to run. Default: all whose files exist.")
  List<String> chosen = List.of();

  @Option(
      names = "--protocol",
      defaultValue = "clean",
      description =
          "clean: logistic regression, C chosen on held-out training examples; authors: one epoch"
              + " of Adam on a softmax layer, on all rows (default: ${DEFAULT-VALUE}).")
  String protocol;

  @Option(
      names = "--pooling",
      defaultValue = "mean",
      description = "mean, max or last (default: ${DEFAULT-VALUE}).")
  String pooling;

  @Option(
      names = "--max-examples",
      paramLabel = "N",
      defaultValue = "10000",
      description =
          "Maximum training examples, and maximum test examples (default: ${DEFAULT-VALUE}).")
  int maxExamples;

  @Option(
      names = "--context",
      paramLabel = "N",
      description = "Maximum tokens per text. Default: the context of the first SAE's training.")
  @Nullable Integer context;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "42",
      description = "Random seed of shuffling and the bootstrap (default: ${DEFAULT-VALUE}).")
  long seed;

  @Option(
      names = "--out",
      paramLabel = "FILE.json",
      required = true,
      description =
          "File to write, for sae compare; intervals go next to it as FILE.details.json, a plot as"
              + " FILE.png.")
  Path out;

  @Override
  public List<Path> files() {
    return List.of(
        out,
        OutputGuard.sibling(out, ".json", ".details.json"),
        OutputGuard.sibling(out, ".json", ".png"));
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    TaskFile files = taskFile();
    List<String> names = chosen.isEmpty() ? files.present() : chosen;
    if (names.isEmpty()) {
      throw common.usage(
          Expected.message("the files of one of " + files.names(), "none", "correct the path"));
    }
    try (Closer resources = new Closer()) {
      Backend backend = resources.add(Backends.best());
      List<Sae> opened = new ArrayList<>();
      for (Path folder : saes) {
        opened.add(resources.add(Sae.load(folder, backend)));
      }
      HookPoint hook = hook(opened);
      Path folder = models.folder();
      OnnxModel model = resources.add(models.open(folder));
      Tokenizer tokenizer = resources.add(Tokenizer.open(folder));
      for (int i = 0; i < opened.size(); i++) {
        match.require(saes.get(i), opened.get(i).metadata(), model, folder, models.dir != null);
      }
      Map<String, String> first = opened.get(0).metadata();
      int wanted = context == null ? TrainedOn.contextOf(first, DEFAULT_CONTEXT) : context;
      HookedModel on = new HookedModel(model, hook);
      Options options = common.fromOptions(() -> options(filters.forEvaluation(first)));
      List<List<Probing>> bySae = new ArrayList<>();
      opened.forEach(sae -> bySae.add(new ArrayList<>()));
      for (String name : names) {
        ProbeTask task = files.open(name, tokenizer, Math.min(wanted, model.contextLength()));
        List<Probing> results = probe(opened, on, task, options);
        for (int i = 0; i < results.size(); i++) {
          bySae.get(i).add(results.get(i));
        }
      }
      write(opened, bySae);
    }
    return 0;
  }

  private TaskFile taskFile() throws IOException {
    Path own = tasks;
    Path folder = data;
    if ((own == null) == (folder == null)) {
      throw common.usage(
          own == null
              ? Expected.message("--data or --tasks", "neither", "add one")
              : Expected.message("one of --data and --tasks", "both", "leave one out"));
    }
    return own != null
        ? TaskFile.read(own)
        : TaskFile.builtIn(folder == null ? Path.of("") : folder);
  }

  private HookPoint hook(List<Sae> opened) {
    List<String> hooks =
        opened.stream()
            .map(sae -> sae.metadata().getOrDefault("hook_name", "unknown"))
            .distinct()
            .toList();
    if (hooks.size() != 1) {
      throw common.usage(
          Expected.message("SAEs for one hook point", hooks, "probe each hook point separately"));
    }
    return HookPoint.parse(hooks.get(0));
  }

  private Options options(ActivationFilter filter) {
    boolean authors =
        choice("--protocol", protocol, Probing.Protocol.class) == Probing.Protocol.AUTHORS;
    Options base = authors ? Options.authors() : Options.clean().withFilter(filter);
    return base.withPooling(choice("--pooling", pooling, Probing.Pooling.class))
        .withMaxExamples(maxExamples)
        .withSeed(seed);
  }

  private static <E extends Enum<E>> E choice(String option, String given, Class<E> type) {
    for (E value : type.getEnumConstants()) {
      if (value.name().toLowerCase(Locale.ROOT).equals(given.toLowerCase(Locale.ROOT))) {
        return value;
      }
    }
    throw new IllegalArgumentException(
        option
            + ": "
            + Expected.message("one of " + List.of(type.getEnumConstants()), given, "choose one"));
  }

  private List<Probing> probe(List<Sae> saes, HookedModel on, ProbeTask task, Options options) {
    long examples = Math.min(task.train().size(), options.maxExamples());
    examples += Math.min(task.test().size(), options.maxExamples());
    try (WorkProgress progress = common.progress(task.name(), "texts", examples)) {
      return Metrics.probe(saes, on, task, options, progress::at);
    }
  }

  private void write(List<Sae> opened, List<List<Probing>> bySae) throws IOException {
    Map<String, List<Integer>> groups = new LinkedHashMap<>();
    for (int i = 0; i < opened.size(); i++) {
      Sae sae = opened.get(i);
      String data = sae.metadata().get("dataset_path");
      String group =
          data == null
              ? "SAE " + i
              : data + " " + sae.config().dSae() + " " + sae.config().activation().label();
      groups.computeIfAbsent(group, any -> new ArrayList<>()).add(i);
    }
    List<ProbingRun> runs = new ArrayList<>();
    for (List<Integer> group : groups.values()) {
      runs.add(
          ProbingRun.of(
              RunFields.of(opened.get(group.get(0)), group.stream().map(saes::get).toList()),
              group.stream().map(bySae::get).toList()));
    }
    Map<String, List<Probing>> details = new LinkedHashMap<>();
    for (int i = 0; i < opened.size(); i++) {
      details.put(saes.get(i).toString(), bySae.get(i));
    }
    AtomicFile.writeString(
        OutputGuard.sibling(out, ".json", ".details.json"), Json.pretty(details));
    ProbingPlot.write(runs, OutputGuard.sibling(out, ".json", ".png"));
    common.write(out, ResultFile.signed(runs), table(runs));
  }

  private static String table(List<ProbingRun> runs) {
    StringBuilder table =
        new StringBuilder(
            String.format(
                "%-16s %-18s %14s %14s %14s%n",
                "task", "trained on", "baseline", "sae", "recon (accuracy / macro F1)"));
    for (String task : runs.get(0).result().keySet()) {
      for (ProbingRun run : runs) {
        Map<String, Double> of = run.result().getOrDefault(task, Map.of());
        table.append(
            String.format(
                Locale.ROOT,
                "%-16s %-18s %.4f / %.4f %.4f / %.4f %.4f / %.4f%n",
                task,
                String.valueOf(run.run().dataset()),
                of.get("baseline_acc"),
                of.get("baseline_f1"),
                of.get("sae_acc"),
                of.get("sae_f1"),
                of.get("recon_acc"),
                of.get("recon_f1")));
      }
    }
    return table.toString().stripTrailing();
  }
}
