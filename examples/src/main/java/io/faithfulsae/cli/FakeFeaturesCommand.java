package io.faithfulsae.cli;

import io.faithfulsae.Metrics;
import io.faithfulsae.Sae;
import io.faithfulsae.compare.FakeFeaturePair;
import io.faithfulsae.compare.ResultFile;
import io.faithfulsae.metrics.FakeFeatures;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae fake-features}: latents that answer to noise. */
@Command(
    name = "fake-features",
    description =
        "Counts the latents that fire on uniformly random tokens: the Fake Feature Ratio with its"
            + " bootstrap interval.")
final class FakeFeaturesCommand implements Callable<Integer>, WritesFiles {
  @Mixin CommonOptions common;
  @Mixin Overwriting overwriting;
  @Mixin SaeOnModel place;

  @Option(
      names = "--tokens",
      paramLabel = "N",
      defaultValue = "1000000",
      description = "Random tokens (default: ${DEFAULT-VALUE}).")
  long tokens;

  @Option(
      names = "--activation",
      paramLabel = "X",
      defaultValue = "1.0",
      description = "A latent fires above it (default: ${DEFAULT-VALUE}).")
  double activation;

  @Option(
      names = "--frequency",
      paramLabel = "X",
      defaultValue = "0.1",
      description =
          "A latent is fake that fires at a larger share of the tokens (default:"
              + " ${DEFAULT-VALUE}).")
  double frequency;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "42",
      description = "Of the random tokens and the bootstrap (default: ${DEFAULT-VALUE}).")
  long seed;

  @Option(
      names = "--data",
      paramLabel = "FILE",
      description = "Ordinary text, to tell latents that fire everywhere: " + TextReading.FORMATS)
  @Nullable Path data;

  @Option(
      names = "--second",
      paramLabel = "DIR",
      description =
          "SAE of another seed: both are counted, and the file has the study's layout, as sae"
              + " compare reads it.")
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
  public Overwriting overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    try (SaeOnModel.Opened on = place.open()) {
      FakeFeatures.Options.Builder options =
          FakeFeatures.Options.tokens(on.context())
              .noiseTokens(tokens)
              .activationThreshold(activation)
              .rateThreshold(frequency)
              .filter(on.filter())
              .seed(seed);
      Path text = data;
      if (text != null) {
        options.text(on.text(text), 1000);
      }
      FakeFeatures.Options counted = common.fromOptions(options::build);
      FakeFeatures fake = Metrics.fakeFeatures(on.sae(), on.model(), on.hook(), counted);
      Path otherFolder = second;
      if (otherFolder != null) {
        return pair(on, fake, otherFolder, counted);
      }
      common.write(
          out,
          fake,
          String.format(
              Locale.ROOT,
              "Fake Feature Ratio %.4f [%.4f, %.4f]: %d of %d latents; %d of them fire as often on"
                  + " text; mean norm %.4g on noise",
              fake.ratio(),
              fake.interval().low(),
              fake.interval().high(),
              fake.count(),
              fake.dSae(),
              fake.firingOnTextToo(),
              fake.noise().meanNorm()));
    }
    return 0;
  }

  private int pair(
      SaeOnModel.Opened on, FakeFeatures fake, Path otherFolder, FakeFeatures.Options counted)
      throws IOException {
    try (Sae other = Sae.load(otherFolder, on.sae().backend())) {
      on.requireSameModel(otherFolder, other);
      FakeFeatures ofOther = Metrics.fakeFeatures(other, on.model(), on.hook(), counted);
      FakeFeaturePair pair = FakeFeaturePair.of(on.sae(), place.sae, fake, otherFolder, ofOther);
      common.write(
          out,
          ResultFile.signed(List.of(pair)),
          String.format(
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
