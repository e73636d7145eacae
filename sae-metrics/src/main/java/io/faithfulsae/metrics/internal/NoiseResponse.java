package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FakeFeatures.Options;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.metrics.NoiseAgainstText;
import io.faithfulsae.metrics.internal.Firings.Watcher;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Runs noise, and ordinary rows for comparison, through SAEs and counts which latents fire. */
public final class NoiseResponse implements AutoCloseable {

  /** Enough to estimate a standard deviation to within about 3 %, few enough to be cheap. */
  private static final int MAX_BLOCKS = 512;

  private final Options options;
  private final List<Sae> saes;
  private final SharedEncoding encoding;
  private final Feeds feeds;

  /**
   * The input.
   *
   * @param model name of the model; empty if activations were given
   * @param hook the hook point; empty if activations were given
   */
  private record Feeds(
      String model, String hook, SequenceFeed noise, Optional<? extends SequenceFeed> ordinary) {}

  private NoiseResponse(Options options, List<Sae> saes, Feeds feeds) {
    this.options = options;
    this.saes = saes;
    this.encoding = new SharedEncoding(saes);
    this.feeds = feeds;
  }

  /** Counts the fake latents of each SAE; the model runs once for all. */
  public static List<FakeFeatures> measure(List<Sae> saes, HookedModel on, Options options)
      throws IOException {
    LanguageModel model = on.model();
    Backend backend = HookRows.backendOf(saes, on);
    if (options.contextLength() > model.contextLength()) {
      throw new IllegalArgumentException(
          Expected.message(
              "contextLength <= %d, the context length of %s"
                  .formatted(model.contextLength(), model.name()),
              options.contextLength(),
              "use a smaller contextLength"));
    }
    int tokens = Math.max(SequenceBatches.TOKENS, options.contextLength());
    try (HookRows rows = new HookRows(backend, on, options.filter(), tokens)) {
      Feeds feeds =
          new Feeds(
              model.name(),
              on.hook().toString(),
              ModelFeed.noise(model, options, rows),
              options.text().map(text -> ModelFeed.text(text, options, rows)));
      try (NoiseResponse response = new NoiseResponse(options, saes, feeds)) {
        return response.count();
      }
    }
  }

  /** Counts the fake latents of each SAE on existing rows. */
  public static List<FakeFeatures> measure(
      List<Sae> saes, ActivationSource noise, ActivationSource ordinary, Options options)
      throws IOException {
    Backend backend = HookRows.backendOf(saes);
    int length = options.contextLength() - 1;
    int sequences = options.noiseSequences();
    Feeds feeds =
        new Feeds(
            "",
            "",
            new SourceFeed(noise, backend, length, sequences, sequences),
            Optional.of(new SourceFeed(ordinary, backend, length, 1, options.textSequences())));
    try (NoiseResponse response = new NoiseResponse(options, saes, feeds)) {
      return response.count();
    }
  }

  @Override
  public void close() {
    encoding.close();
  }

  private List<FakeFeatures> count() throws IOException {
    Optional<? extends SequenceFeed> ordinary = feeds.ordinary();
    List<double[]> thresholds = saes.stream().map(this::absoluteThresholds).toList();
    if (options.relativeThreshold()) {
      if (ordinary.isEmpty()) {
        throw new IllegalArgumentException(
            Expected.message("a text for relativeThreshold", "none", "set one in the options"));
      }
      thresholds =
          run(ordinary.get(), thresholds, 1, List.of()).stream()
              .map(this::relativeThresholds)
              .toList();
    }
    List<NoiseContrast> contrasts =
        ordinary.isEmpty()
            ? List.of()
            : saes.stream().map(sae -> new NoiseContrast(sae.config().dSae())).toList();
    List<Firings> ordinaryFirings = ordinary(thresholds, contrasts);
    List<Firings> noiseFirings =
        run(
            feeds.noise(),
            thresholds,
            MAX_BLOCKS,
            contrasts.stream().map(NoiseContrast::onNoise).toList());
    List<FakeFeatures> results = new ArrayList<>();
    for (int i = 0; i < saes.size(); i++) {
      results.add(
          result(
              saes.get(i).config().dSae(),
              noiseFirings.get(i),
              ordinaryFirings.get(i),
              contrasts.isEmpty()
                  ? null
                  : contrasts.get(i).result(options.falseDiscoveryRate(), options.minimumRatio())));
    }
    return results;
  }

  private double[] absoluteThresholds(Sae sae) {
    double[] thresholds = new double[sae.config().dSae()];
    Arrays.fill(thresholds, options.activationThreshold());
    return thresholds;
  }

  private double[] relativeThresholds(Firings text) {
    return Arrays.stream(text.means()).map(m -> m * options.activationThreshold()).toArray();
  }

  private FakeFeatures result(
      int dSae, Firings noiseFirings, Firings textFirings, @Nullable NoiseAgainstText against) {
    double[] noiseRates = noiseFirings.rates();
    double[] textRates = textFirings.rates();
    double limit = options.rateThreshold();
    List<Integer> fake =
        IntStream.range(0, dSae).filter(i -> noiseRates[i] > limit).boxed().toList();
    int[] resampled =
        noiseFirings
            .resampler()
            .countsAbove(
                limit, options.resamples(), Bootstrap.random(Purpose.NOISE_BLOCKS, options.seed()));
    double ratio = (double) fake.size() / dSae;
    double[] ratios = Arrays.stream(resampled).mapToDouble(c -> (double) c / dSae).toArray();
    return new FakeFeatures(
        options,
        feeds.model(),
        feeds.hook(),
        dSae,
        against,
        fake.size(),
        ratio,
        ShareInterval.wilson(
            ratio, dSae, ShareInterval.spread(ratio, ratios), options.level(), ratios.length),
        fake,
        fake.stream().map(i -> noiseRates[i]).toList(),
        feeds.ordinary().isEmpty() ? List.of() : fake.stream().map(i -> textRates[i]).toList(),
        (int) fake.stream().filter(i -> textRates[i] > limit).count(),
        noiseFirings.sample(feeds.noise().description()),
        textFirings.sample(feeds.ordinary().map(SequenceFeed::description).orElse("")),
        Arrays.stream(resampled).boxed().toList());
  }

  private List<Firings> ordinary(List<double[]> thresholds, List<NoiseContrast> contrasts)
      throws IOException {
    Optional<? extends SequenceFeed> ordinary = feeds.ordinary();
    if (ordinary.isEmpty()) {
      return thresholds.stream()
          .map(of -> new Firings(options.definition(), of, options.textSequences(), 1, null))
          .toList();
    }
    return run(
        ordinary.get(), thresholds, 1, contrasts.stream().map(NoiseContrast::onText).toList());
  }

  /** Counts firings, one result per SAE. Watchers, if any, are in the order of the SAEs. */
  private List<Firings> run(
      SequenceFeed feed, List<double[]> thresholds, int maxBlocks, List<Watcher> watchers)
      throws IOException {
    int sequences = feed.sequences();
    int blocks = Math.min(sequences, maxBlocks);
    List<Firings> firings = new ArrayList<>();
    for (int i = 0; i < thresholds.size(); i++) {
      firings.add(
          new Firings(
              options.definition(),
              thresholds.get(i),
              sequences,
              blocks,
              watchers.isEmpty() ? null : watchers.get(i)));
    }
    feed.run(
        (rows, count, length) ->
            encoding.encode(
                rows.kept(), (i, latents) -> firings.get(i).add(rows, latents, count, length)));
    if (firings.get(0).rows() == 0) {
      throw feed.noRows();
    }
    return firings;
  }
}
