package io.faithfulsae.examples;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.EmbeddedModel;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The README's example: which latents of an SAE fire on a sentence, token by token. */
public final class ExplainSentence {
  private ExplainSentence() {}

  /** Runs it; the arguments name a model folder and an SAE of it, else one is trained. */
  public static void main(String[] args) throws IOException, InterruptedException {
    if (args.length == 2) {
      explain(Path.of(args[0]), Path.of(args[1]), "once upon a time there was a little dog.");
    } else {
      Path dir = Files.createTempDirectory("sae");
      Path folder = EmbeddedModel.unpackToCache();
      train(folder, dir, 60_000);
      explain(folder, dir.resolve("sae"), "once upon a time there was a little dog.");
    }
  }

  static void explain(Path folder, Path saeDir, String sentence) throws IOException {
    try (Backend backend = Backends.best();
        OnnxModel model = OnnxModel.open(folder); // a Hugging Face folder
        Tokenizer tokenizer = Tokenizer.open(folder);
        Sae sae = Sae.load(saeDir, backend)) {
      int[] tokens = tokenizer.encode(sentence);
      try (var x = ActivationBatch.allocate(backend, tokens.length, model.dModel())) {
        model.activations(HookPoint.residPre(2), new int[][] {tokens}, x.data());
        x.rows(tokens.length);
        try (Latents latents = sae.encode(x)) { // k per token, strongest first
          for (int i = 0; i < tokens.length; i++) {
            int latent = latents.indices().get(i * latents.k());
            System.out.println(tokenizer.decode(tokens[i]) + " fires latent " + latent);
          }
        }
      }
    }
  }

  static void train(Path folder, Path dir, long tokens) throws IOException, InterruptedException {
    var training = TrainingConfig.builder().tokens(tokens).batch(512).bufferRows(8192).lr(3e-3);
    try (Backend backend = Backends.best();
        OnnxModel model = OnnxModel.open(folder);
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      Path text = dir.resolve("text.jsonl"); // the model writes what it is trained on
      FaithfulDataset.write(
          model, tokenizer, GenerationConfig.of(tokens, 64, 1), text, progress -> true);
      var rows =
          ActivationSources.ofModel(
              model,
              HookPoint.residPre(2),
              TokenSources.ofFile(text, tokenizer, 64),
              ActivationFilter.NONE,
              16);
      SaeConfig config = SaeConfig.topK(model.dModel(), 512, 8);
      try (var run =
          SaeTrainer.of(config, training.build(), backend).start(rows, dir.resolve("sae"))) {
        run.await();
      }
    }
  }
}
