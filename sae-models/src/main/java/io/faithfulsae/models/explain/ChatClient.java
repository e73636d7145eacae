package io.faithfulsae.models.explain;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Talks to a server that implements OpenAI's chat protocol ({@code POST BASE/chat/completions}).
 */
final class ChatClient {
  private static final JsonMapper JSON = new JsonMapper();
  private static final int SHOWN = 300;

  private final URI endpoint;
  private final String model;
  private final @Nullable String key;
  private final Duration timeout;
  private final HttpClient client;

  ChatClient(URI base, String model, @Nullable String key, Duration timeout) {
    String scheme = String.valueOf(base.getScheme());
    if (!scheme.equals("http") && !scheme.equals("https")) {
      throw new IllegalArgumentException(
          Expected.message(
              "an http or https address", base, "use one such as http://localhost:8000/v1"));
    }
    String text = base.toString();
    this.endpoint = URI.create((text.endsWith("/") ? text : text + "/") + "chat/completions");
    this.model = model;
    this.key = key;
    this.timeout = timeout;
    this.client = HttpClient.newBuilder().connectTimeout(timeout).build();
  }

  /** The answer, stripped. */
  String ask(String task, String question, int answerTokens)
      throws IOException, InterruptedException {
    Map<String, Object> body =
        Map.of(
            "model",
            model,
            "temperature",
            0,
            "max_tokens",
            answerTokens,
            "messages",
            List.of(
                Map.of("role", "system", "content", task),
                Map.of("role", "user", "content", question)));
    HttpRequest.Builder request =
        HttpRequest.newBuilder(endpoint)
            .timeout(timeout)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)));
    if (key != null) {
      request.header("Authorization", "Bearer " + key);
    }
    HttpResponse<String> response;
    try {
      response =
          client.send(request.build(), HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
    } catch (HttpTimeoutException e) {
      throw new IOException(
          Expected.message(
              "an answer from " + endpoint + " within " + timeout.toSeconds() + " s",
              "none",
              "use a longer timeout or a faster server"),
          e);
    } catch (IOException e) {
      throw new IOException(
          Expected.message("an answer from " + endpoint, e, "check the address"), e);
    }
    return answer(response);
  }

  private String answer(HttpResponse<String> response) throws IOException {
    String body = response.body();
    String shown = body.length() > SHOWN ? body.substring(0, SHOWN) + " …" : body;
    if (response.statusCode() != 200) {
      String remedy =
          response.statusCode() == 401 || response.statusCode() == 403
              ? "check the key"
              : "check the address and the model's name";
      throw new IOException(
          Expected.message(
              "status 200 from " + endpoint, response.statusCode() + ": " + shown, remedy));
    }
    try {
      JsonNode content =
          JSON.readTree(body).path("choices").path(0).path("message").path("content");
      if (content.isTextual() && !content.textValue().isBlank()) {
        return content.textValue().strip();
      }
    } catch (JsonProcessingException e) {
      // reported below, with the answer
    }
    throw new IOException(
        Expected.message(
            "choices[0].message.content from " + endpoint,
            shown,
            "use a server that implements OpenAI's chat protocol"));
  }
}
