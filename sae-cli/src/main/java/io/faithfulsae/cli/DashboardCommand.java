package io.faithfulsae.cli;

import io.faithfulsae.Sae;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.LatentCorrelations;
import io.faithfulsae.metrics.LatentDescription;
import io.faithfulsae.metrics.LatentDescription.Snippets;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.explain.DetectionScore;
import io.faithfulsae.models.explain.Detector;
import io.faithfulsae.models.explain.Explainer;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.spi.Services;
import io.faithfulsae.study.TokenSlice;
import io.faithfulsae.study.dashboard.Dashboard;
import io.faithfulsae.study.dashboard.Dashboard.Shown;
import io.faithfulsae.study.dashboard.DashboardPage;
import io.faithfulsae.study.dashboard.NeuronpediaExport;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae dashboard}: shows individual latents. */
@Command(
    name = "dashboard",
    description =
        "Shows latents on one page: where they fire most, how often and how strongly, which others"
            + " resemble them, which tokens they promote.")
final class DashboardCommand implements Callable<Integer>, WritesFiles {
  private static final String KEY = "SAE_EXPLAINER_KEY";
  private static final String BATCH = "batch-0.json";
  private static final int SNIPPET = 32;
  private static final int TOGETHER = 5;
  private static final double CORRELATED = 0.7;

  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;
  @Mixin SaeModelOptions place;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      required = true,
      description = "Text to look for examples in: " + TextInputOptions.FORMATS)
  Path data;

  @Option(
      names = "--latents",
      paramLabel = "N",
      split = ",",
      description = "Latents to show. Default: a random choice.")
  List<Integer> latents = List.of();

  @Option(
      names = "--random",
      paramLabel = "N",
      defaultValue = "20",
      description = "How many random latents (default: ${DEFAULT-VALUE}).")
  int random;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "42",
      description = "Random seed (default: ${DEFAULT-VALUE}).")
  long seed;

  @Option(
      names = "--sequences",
      paramLabel = "N",
      defaultValue = "2000",
      description = "Maximum sequences to read (default: ${DEFAULT-VALUE}).")
  int sequences;

  @Option(
      names = "--examples",
      paramLabel = "N",
      defaultValue = "10",
      description = "Examples per latent (default: ${DEFAULT-VALUE}).")
  int examples;

  @Option(
      names = "--explain-with",
      paramLabel = "URL|NAME[:ARGUMENT]",
      description =
          "Ask a server that speaks OpenAI's chat protocol, such as http://localhost:8000/v1, to"
              + " name each latent: its examples are sent there. The API key is read from the"
              + " environment variable "
              + KEY
              + ". Or the name of an explainer from a jar on the class path. Default: none is"
              + " asked.")
  @Nullable String explainWith;

  @Option(
      names = "--explain-model",
      paramLabel = "NAME",
      description = "The model's name on that server.")
  @Nullable String explainModel;

  @Option(
      names = "--explain-timeout",
      paramLabel = "SECONDS",
      defaultValue = "120",
      description = "Timeout for one answer (default: ${DEFAULT-VALUE}).")
  int explainTimeout;

  @Option(
      names = "--score",
      paramLabel = "N",
      defaultValue = "0",
      description =
          "Score each explanation by detection: the same server sees the phrase alone and says in"
              + " which of N snippets with the latent and N without it fires. Default: nothing is"
              + " scored.")
  int score;

  @Option(
      names = "--score-data",
      paramLabel = "FILE",
      description =
          "Text to draw those snippets from, ideally not the one that was explained. Default:"
              + " --data.")
  @Nullable Path scoreData;

  @Option(
      names = "--second",
      paramLabel = "DIR",
      description =
          "Another SAE of the same hook point: the latents in it that fire together with each one"
              + " are shown.")
  @Nullable Path second;

  @Option(
      names = "--neuronpedia",
      paramLabel = "DIR",
      description =
          "Also write the latents for Neuronpedia: DIR/batch-0.json, as SAEDashboard writes it; the"
              + " folder's name is that of the source set, such as res-16k.")
  @Nullable Path neuronpedia;

  @Option(
      names = "--out",
      paramLabel = "FILE.html",
      required = true,
      description = "Page to write; the same data as JSON goes next to it, as FILE.json.")
  Path out;

  @Override
  public List<Path> files() {
    return neuronpedia == null
        ? List.of(out, json())
        : List.of(out, json(), neuronpedia.resolve(BATCH));
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    Explainer explainer = explainer();
    if (score > 0 && !asksServer()) {
      throw common.usage(
          Expected.message(
              "--explain-with URL with --score",
              explainWith == null ? "--score alone" : "--explain-with " + explainWith,
              "name a server, or leave out --score"));
    }
    try (SaeModelOptions.Opened on = place.open()) {
      List<Integer> chosen = latents.isEmpty() ? some(on.sae().config().dSae()) : latents;
      LatentDescription.Options options =
          common.fromOptions(() -> new LatentDescription.Options(sequences, examples, 5, 10));
      List<LatentDescription> described =
          Metrics.describe(on.sae(), chosen, on.activations(on.text(data)), options);
      List<Shown> shown =
          described.stream()
              .map(each -> Shown.of(each, on.tokenizer()))
              .collect(Collectors.toCollection(ArrayList::new));
      IOException failure = explainer == null ? null : named(on, shown, chosen, explainer);
      if (second != null) {
        across(on, shown, chosen, second);
      }
      Dashboard dashboard =
          new Dashboard(
              nameOf(place.sae),
              on.model().name(),
              on.hook().toString(),
              String.valueOf(data.getFileName()),
              second == null ? null : nameOf(second),
              shown);
      Map<Path, AtomicFile.Content> files = new LinkedHashMap<>();
      files.put(out, AtomicFile.text(DashboardPage.render(dashboard)));
      if (neuronpedia != null) {
        files.put(
            neuronpedia.resolve(BATCH),
            AtomicFile.text(NeuronpediaExport.batch(dashboard, nameOf(neuronpedia))));
      }
      files.put(json(), AtomicFile.text(Json.pretty(dashboard)));
      AtomicFile.writeTogether(files);
      common.print(dashboard, shown.size() + " latents on " + out.toAbsolutePath() + "\n" + json());
      if (failure != null) {
        throw new IOException(
            "the page and its JSON are written with the answers so far: " + failure.getMessage(),
            failure);
      }
    }
    return 0;
  }

  private Path json() {
    String name = String.valueOf(out.getFileName()).replaceFirst("\\.html?$", "");
    return out.resolveSibling(name + ".json");
  }

  private static String nameOf(Path folder) {
    return String.valueOf(folder.toAbsolutePath().normalize().getFileName());
  }

  private List<Integer> some(int dSae) {
    List<Integer> all = IntStream.range(0, dSae).boxed().collect(Collectors.toList());
    new Rng(Purpose.SHOWN_LATENTS, seed).shuffle(all);
    return all.subList(0, Math.min(random, dSae)).stream().sorted().toList();
  }

  /** Whether explanations are a server's, and not from another jar. */
  private boolean asksServer() {
    return explainWith != null && explainWith.matches("(?i)https?:.*");
  }

  private URI server() {
    return common.fromOptions(() -> URI.create(Objects.requireNonNull(explainWith)));
  }

  private @Nullable Explainer explainer() throws IOException {
    String chosen = explainWith;
    if (chosen == null) {
      return null;
    }
    if (!asksServer()) {
      NamedPlugIn named = NamedPlugIn.of(chosen);
      Explainer.Provider provider = common.fromOptions(() -> Explainer.provider(named.name()));
      return named.opened(provider, () -> provider.open(named.argument()));
    }
    String model = explainModel;
    if (model == null) {
      throw common.usage(
          Expected.message(
              "--explain-model with --explain-with", "--explain-with alone", "name the model"));
    }
    URI base = server();
    return common.fromOptions(
        () ->
            Explainer.ofChat(base, model, System.getenv(KEY), Duration.ofSeconds(explainTimeout)));
  }

  /** Asks for explanations and scores; a failure ends the questions, and keeps the answers. */
  private @Nullable IOException named(
      SaeModelOptions.Opened on, List<Shown> shown, List<Integer> chosen, Explainer explainer) {
    try {
      explain(shown, explainer);
      if (score > 0) {
        score(on, shown, chosen);
      }
      return null;
    } catch (IOException e) {
      return e;
    }
  }

  private void explain(List<Shown> shown, Explainer explainer) throws IOException {
    try (WorkProgress progress = common.progress("explain", "latents", shown.size())) {
      for (int i = 0; i < shown.size(); i++) {
        shown.set(i, shown.get(i).withExplanation(explainer.explain(shown.get(i).evidence())));
        progress.at(i + 1);
      }
    } catch (RuntimeException | LinkageError e) { // of an explainer from another jar
      throw new IOException(Services.failure(explainer, "explain a latent", e), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted while waiting for an explanation", e);
    }
  }

  private void score(SaeModelOptions.Opened on, List<Shown> shown, List<Integer> chosen)
      throws IOException {
    Path other = scoreData;
    Detector detector =
        Detector.ofChat(
            server(),
            Objects.requireNonNull(explainModel),
            System.getenv(KEY),
            Duration.ofSeconds(explainTimeout));
    List<Snippets> snippets =
        Metrics.snippets(
            on.sae(),
            chosen,
            on.activations(on.text(other == null ? data : other)),
            new Snippets.Options(sequences, Math.min(SNIPPET, on.context()), score, seed));
    try (WorkProgress progress = common.progress("score", "latents", shown.size())) {
      for (int i = 0; i < shown.size(); i++) {
        Shown each = shown.get(i);
        shown.set(
            i,
            each.withScore(
                DetectionScore.of(
                    detector,
                    String.valueOf(each.explanation()),
                    words(snippets.get(i).firing(), on.tokenizer()),
                    words(snippets.get(i).silent(), on.tokenizer()),
                    TOGETHER,
                    seed)));
        progress.at(i + 1);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted while waiting for a score", e);
    }
  }

  private static List<String> words(List<Snippets.Snippet> snippets, Tokenizer tokenizer) {
    return snippets.stream()
        .map(
            snippet ->
                tokenizer.decode(snippet.tokens().stream().mapToInt(token -> token).toArray()))
        .toList();
  }

  private void across(
      SaeModelOptions.Opened on, List<Shown> shown, List<Integer> chosen, Path folder)
      throws IOException {
    try (Sae other = Sae.load(folder, on.sae().backend())) {
      on.requireSameModel(folder, other);
      LatentCorrelations found =
          Metrics.latentCorrelations(
              on.sae(),
              other,
              // The rows that the descriptions cover: all rows of these sequences that pass the
              // filter. A row limit would reach into later sequences by as many rows as the
              // filter left out.
              on.activations(new TokenSlice(on.text(data), 0, sequences))
                  .source(place.models.batchSequences),
              new LatentCorrelations.Options(Long.MAX_VALUE, CORRELATED, chosen, 5));
      for (int i = 0; i < shown.size(); i++) {
        shown.set(i, shown.get(i).withAcross(found.latents().get(i)));
      }
    }
  }
}
