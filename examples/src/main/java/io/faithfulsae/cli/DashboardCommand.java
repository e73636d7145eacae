package io.faithfulsae.cli;

import io.faithfulsae.Metrics;
import io.faithfulsae.console.Progress;
import io.faithfulsae.dashboard.Dashboard;
import io.faithfulsae.dashboard.Dashboard.Shown;
import io.faithfulsae.dashboard.DashboardPage;
import io.faithfulsae.internal.AtomicFile;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.models.explain.ChatExplainer;
import io.faithfulsae.models.explain.Explainer;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae dashboard}: what single latents are about. */
@Command(
    name = "dashboard",
    description =
        "Shows latents on one page: where they fire most, how often and how strongly, which others are like them, which tokens they speak for.")
final class DashboardCommand implements Callable<Integer> {
  private static final String KEY = "SAE_EXPLAINER_KEY";

  @Mixin CommonOptions common;
  @Mixin SaeOnModel place;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      required = true,
      description = "Text to look for examples in: " + TextReading.FORMATS)
  Path data;

  @Option(
      names = "--latents",
      paramLabel = "N",
      split = ",",
      description = "The latents. Default: some at random.")
  List<Integer> latents = List.of();

  @Option(
      names = "--random",
      paramLabel = "N",
      defaultValue = "20",
      description = "How many at random (default: ${DEFAULT-VALUE}).")
  int random;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "42",
      description = "Of the choice at random (default: ${DEFAULT-VALUE}).")
  long seed;

  @Option(
      names = "--sequences",
      paramLabel = "N",
      defaultValue = "2000",
      description = "Sequences of the text to read at most (default: ${DEFAULT-VALUE}).")
  int sequences;

  @Option(
      names = "--examples",
      paramLabel = "N",
      defaultValue = "10",
      description = "Examples of each latent (default: ${DEFAULT-VALUE}).")
  int examples;

  @Option(
      names = "--explain-with",
      paramLabel = "URL",
      description =
          "Ask a server that speaks OpenAI's chat protocol, such as http://localhost:8000/v1, to name each latent: its examples are sent there. A key is taken from the environment variable "
              + KEY
              + ". Default: nobody is asked.")
  @Nullable URI explainWith;

  @Option(
      names = "--explain-model",
      paramLabel = "NAME",
      description = "The model's name on that server.")
  @Nullable String explainModel;

  @Option(
      names = "--explain-timeout",
      paramLabel = "SECONDS",
      defaultValue = "120",
      description = "Longest wait for one answer (default: ${DEFAULT-VALUE}).")
  int explainTimeout;

  @Option(
      names = "--out",
      paramLabel = "FILE.html",
      required = true,
      description = "Page to write; the same as JSON goes beside it, as FILE.json.")
  Path out;

  @Override
  public Integer call() throws IOException {
    Explainer explainer = explainer();
    try (SaeOnModel.Opened on = place.open()) {
      List<Integer> chosen = latents.isEmpty() ? some(on.sae().config().dSae()) : latents;
      LatentDescription.Options options =
          common.fromOptions(
              () -> new LatentDescription.Options(on.filter(), sequences, examples, 5, 10));
      List<LatentDescription> described =
          Metrics.describe(on.sae(), on.model(), on.hook(), on.text(data), chosen, options);
      List<Shown> shown =
          described.stream()
              .map(each -> Shown.of(each, on.tokenizer()))
              .collect(Collectors.toCollection(ArrayList::new));
      if (explainer != null) {
        explain(shown, explainer);
      }
      Dashboard dashboard =
          new Dashboard(
              String.valueOf(place.sae.toAbsolutePath().normalize().getFileName()),
              on.model().name(),
              on.hook().toString(),
              String.valueOf(data.getFileName()),
              shown);
      AtomicFile.writeString(out, DashboardPage.render(dashboard));
      String name = String.valueOf(out.getFileName()).replaceFirst("\\.html?$", "");
      common.write(
          out.resolveSibling(name + ".json"),
          dashboard,
          shown.size() + " latents on " + out.toAbsolutePath());
    }
    return 0;
  }

  private List<Integer> some(int dSae) {
    List<Integer> all = IntStream.range(0, dSae).boxed().collect(Collectors.toList());
    Collections.shuffle(all, new Random(seed));
    return all.subList(0, Math.min(random, dSae)).stream().sorted().toList();
  }

  private @Nullable Explainer explainer() {
    URI base = explainWith;
    if (base == null) {
      return null;
    }
    String model = explainModel;
    if (model == null) {
      throw common.usage("expected --explain-model with --explain-with; mend: name the model");
    }
    return common.fromOptions(
        () ->
            new ChatExplainer(base, model, System.getenv(KEY), Duration.ofSeconds(explainTimeout)));
  }

  private static void explain(List<Shown> shown, Explainer explainer) throws IOException {
    try (Progress progress = Progress.start("explain", "latents", shown.size())) {
      for (int i = 0; i < shown.size(); i++) {
        shown.set(i, shown.get(i).withExplanation(explainer.explain(shown.get(i).evidence())));
        progress.at(i + 1);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted while an explanation was awaited", e);
    }
  }
}
