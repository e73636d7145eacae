package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The script, in bash itself. */
final class CompletionCommandTest {
  @TempDir Path dir;

  @Test
  void bashCompletesCommandsOptionsAndValues() throws Exception {
    assertEquals(List.of("train"), complete("sae", "tr"));
    assertEquals(List.of("--d-sae"), complete("sae", "train", "--d-s"));
    assertEquals(List.of("doctor"), complete("sae", "doc"));
  }

  private List<String> complete(String... words) throws IOException, InterruptedException {
    Path script = Files.writeString(dir.resolve("sae.bash"), sae("completion").ok().out());
    String line =
        "source %s; compopt() { :; }; COMP_WORDS=(%s); COMP_CWORD=%d; _complete_sae; printf '%%s\\n' \"${COMPREPLY[@]}\""
            .formatted(script, String.join(" ", words), words.length - 1);
    Process bash = new ProcessBuilder("bash", "-c", line).redirectErrorStream(true).start();
    String printed = new String(bash.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, bash.waitFor(), printed);
    return printed.lines().toList();
  }
}
