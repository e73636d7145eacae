package io.faithfulsae.cli;

import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FakeFeatures.Definition;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.NoiseAgainstText;
import io.faithfulsae.study.compare.FakeFeaturePair;
import io.faithfulsae.study.compare.ResultFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae fake-features}: finds latents that fire on random tokens. */
@Command(
    name = "fake-features",
    description =
        "Compares how active latents are on random tokens and on text, and counts those that fire on random tokens: the Fake Feature Ratio with its interval.")
final class FakeFeaturesCommand implements Callable<Integer>, WritesFiles {
  /** A named group of settings. */
  enum Preset {
    /** Exactly what the authors' program counts. */
    AUTHORS
  }

  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;
  @Mixin SaeModelOptions place;

  @Option(
      names = "--preset",
      paramLabel = "NAME",
      description =
          "AUTHORS: exactly what the study's authors count: 1,000,000 tokens, z > 1 at more than 10 %%, leaving out position 0 and nothing else.")
  @Nullable Preset preset;

  @Option(
      names = "--definition",
      paramLabel = "NAME",
      defaultValue = "TOKENS",
      description =
          "TOKENS: a latent fires on a token when z exceeds --activation; SEQUENCES: it fires on a sequence when the sum of its z does (default: ${DEFAULT-VALUE}).")
  Definition definition = Definition.TOKENS;

  @Option(
      names = "--tokens",
      paramLabel = "N",
      description = "Random tokens. Default: 1000000; with --definition SEQUENCES --sequences.")
  @Nullable Long tokens;

  @Option(
      names = "--sequences",
      paramLabel = "N",
      defaultValue = "1000",
      description =
          "Maximum sequences of text, and with --definition SEQUENCES of random tokens (default: ${DEFAULT-VALUE}).")
  int sequences;

  @Option(
      names = "--activation",
      paramLabel = "X",
      description = "Threshold above which a latent fires. Default: 1.")
  @Nullable Double activation;

  @Option(
      names = "--relative",
      paramLabel = "X",
      description =
          "Instead of --activation: a latent fires above X times its own mean activation on --data, zeros excluded.")
  @Nullable Double relative;

  @Option(
      names = "--frequency",
      paramLabel = "X",
      description =
          "A latent that fires on a larger share of the tokens (or sequences) is fake. Default: 0.1, with --definition SEQUENCES 0.05.")
  @Nullable Double frequency;

  @Option(
      names = "--fdr",
      paramLabel = "X",
      defaultValue = "0.05",
      description =
          "False discovery rate of the latents that are more active on noise than on --data (default: ${DEFAULT-VALUE}).")
  double falseDiscoveryRate;

  @Option(
      names = "--min-ratio",
      paramLabel = "X",
      defaultValue = "2",
      description =
          "Minimum ratio of their frequency on noise to that on text (default: ${DEFAULT-VALUE}).")
  double minimumRatio;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "42",
      description = "Random seed of the tokens and the bootstrap (default: ${DEFAULT-VALUE}).")
  long seed;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      description =
          "Ordinary text that the SAE was not trained on, to compare with: "
              + TextInputOptions.FORMATS)
  @Nullable Path data;

  @Option(
      names = "--second",
      paramLabel = "DIR",
      description =
          "SAE of another seed: both are counted, and the file has the layout that sae compare"
              + " reads.")
  @Nullable Path second;

  @Option(
      names = "--out",
      paramLabel = "FILE.json",
      required = true,
      description = "File to write.")
  Path out;

  @Override
  public List<Path> files() {
    return List.of(out);
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    check();
    try (SaeModelOptions.Opened on = place.open()) {
      Path text = data;
      TokenSource ordinary = text == null ? null : on.text(text);
      FakeFeatures.Options counted = common.fromOptions(() -> options(on, ordinary));
      FakeFeatures fake = Metrics.fakeFeatures(on.sae(), on.hooked(), counted);
      Path otherFolder = second;
      if (otherFolder != null) {
        return pair(on, fake, otherFolder, counted);
      }
      common.write(out, fake, against(fake) + "\n" + ratio(fake));
    }
    return 0;
  }

  private void check() {
    if (preset != null
        && (definition != Definition.TOKENS
            || tokens != null
            || activation != null
            || relative != null
            || frequency != null
            || place.filters.given())) {
      throw common.usage(
          Expected.message(
              "--preset AUTHORS without --definition, --tokens, --activation, --relative, --frequency and filter options",
              "an option that the preset sets",
              "leave out that option, or the preset"));
    }
    if (activation != null && relative != null) {
      throw common.usage(
          Expected.message("one of --activation and --relative", "both", "leave one out"));
    }
    if (data == null && (relative != null || definition == Definition.SEQUENCES)) {
      throw common.usage(
          Expected.message(
              "--data with " + (relative != null ? "--relative" : "--definition SEQUENCES"),
              "none",
              "add it"));
    }
  }

  private FakeFeatures.Options options(SaeModelOptions.Opened on, @Nullable TokenSource ordinary) {
    FakeFeatures.Options.Builder options =
        definition == Definition.SEQUENCES
            ? FakeFeatures.Options.sequences(on.context(), Objects.requireNonNull(ordinary))
                .noiseSequences(sequences)
            : FakeFeatures.Options.authors(on.context());
    if (preset == null) {
      options.filter(on.filter());
    }
    if (ordinary != null) {
      options.text(ordinary, sequences);
    }
    if (tokens != null) {
      options.noiseTokens(tokens);
    }
    if (activation != null) {
      options.activationThreshold(activation);
    }
    if (relative != null) {
      options.relativeThreshold(relative);
    }
    if (frequency != null) {
      options.rateThreshold(frequency);
    }
    return options.againstText(falseDiscoveryRate, minimumRatio).seed(seed).build();
  }

  /** The headline: what separates noise from text. */
  private static String against(FakeFeatures fake) {
    NoiseAgainstText against = fake.noiseAgainstText();
    if (against == null) {
      return "Noise against text: not compared, since no text was given; add --data";
    }
    return String.format(
        Locale.ROOT,
        "More active on noise than on text: %.4f, %d of %d latents (at least %.3g times as often, false discovery rate %.3g); on text than on noise: %.4f; median AUC of noise against text %.4f",
        against.shareMoreOnNoise(),
        against.moreOnNoise(),
        against.dSae(),
        against.minimumRatio(),
        against.falseDiscoveryRate(),
        against.shareMoreOnText(),
        against.medianAuc());
  }

  private static String ratio(FakeFeatures fake) {
    FakeFeatures.Options options = fake.options();
    return String.format(
        Locale.ROOT,
        "Fake Feature Ratio %.4f [%.4f, %.4f]: %d of %d latents, of which %d fire as often on text (%s, z > %.4g%s, at more than %.4g %%); mean norm %.4g and mean z %.4g on noise",
        fake.ratio(),
        fake.interval().low(),
        fake.interval().high(),
        fake.count(),
        fake.dSae(),
        fake.firingOnTextToo(),
        options.definition().name().toLowerCase(Locale.ROOT),
        options.activationThreshold(),
        options.relativeThreshold() ? " x own mean" : "",
        100 * options.rateThreshold(),
        fake.noise().meanNorm(),
        fake.noise().meanActivation());
  }

  private int pair(
      SaeModelOptions.Opened on, FakeFeatures fake, Path otherFolder, FakeFeatures.Options counted)
      throws IOException {
    try (Sae other = Sae.load(otherFolder, on.sae().backend())) {
      on.requireSameModel(otherFolder, other);
      FakeFeatures ofOther = Metrics.fakeFeatures(other, on.hooked(), counted);
      FakeFeaturePair pair = FakeFeaturePair.of(on.sae(), place.sae, fake, otherFolder, ofOther);
      common.write(
          out,
          ResultFile.signed(List.of(pair)),
          against(fake)
              + "\n"
              + against(ofOther)
              + "\n"
              + String.format(
                  Locale.ROOT,
                  "Fake Feature Ratio %.4f and %.4f, mean %.4f: %d and %d latents",
                  fake.ratio(),
                  ofOther.ratio(),
                  pair.result().averageRatio(),
                  fake.count(),
                  ofOther.count()));
    }
    return 0;
  }
}
