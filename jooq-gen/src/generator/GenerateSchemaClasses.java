import io.zonky.test.db.postgres.embedded.EmbeddedPostgres;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.sql.Connection;
import java.sql.Statement;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;
import javax.sql.DataSource;
import org.flywaydb.core.Flyway;
import org.jooq.codegen.GenerationTool;
import org.jooq.meta.jaxb.Configuration;
import org.jooq.meta.jaxb.Database;
import org.jooq.meta.jaxb.ForcedType;
import org.jooq.meta.jaxb.Generate;
import org.jooq.meta.jaxb.Generator;
import org.jooq.meta.jaxb.Jdbc;
import org.jooq.meta.jaxb.Logging;
import org.jooq.meta.jaxb.Target;

/**
 * Generates the schema's classes from the migrations applied to a real PostgreSQL; does nothing
 * when neither the migrations nor this program nor jOOQ changed since the last run.
 *
 * <p>Arguments: the folder of the migrations, the folder to write to, a folder for temporary files,
 * a folder for the hash of all that went in, this file.
 */
void main(String[] arguments) throws Exception {
  Path migrations = Path.of(arguments[0]).toRealPath();
  Path output = Path.of(arguments[1]).toAbsolutePath();
  Path work = Path.of(arguments[2]).toAbsolutePath();
  // Goes into the jar, so that the server knows which schema its classes are of.
  Path stamp = Path.of(arguments[3]).resolve("dev/sandkeeper/jooq/schema.sha256");

  String hash = hash(migrations, Path.of(arguments[4]));
  if (Files.exists(stamp) && Files.readString(stamp).equals(hash)) {
    return;
  }
  IO.println("Generating the schema's classes from " + migrations);
  Files.createDirectories(work);
  deleteTree(output);
  Files.createDirectories(output);

  try (EmbeddedPostgres postgres =
      EmbeddedPostgres.builder()
          .setOverrideWorkingDirectory(work.resolve("postgres").toFile())
          .start()) {
    // The roles of the real thing, so that grants in the migrations mean what they say.
    execute(
        postgres.getPostgresDatabase(),
        "create role sandkeeper_owner login",
        "create role sandkeeper_server login",
        "create database sandkeeper owner sandkeeper_owner");
    Flyway.configure()
        .dataSource(postgres.getDatabase("sandkeeper_owner", "sandkeeper"))
        .locations("filesystem:" + migrations)
        .load()
        .migrate();
    generate(postgres.getJdbcUrl("sandkeeper_owner", "sandkeeper"), output);
  }
  Files.createDirectories(stamp.getParent());
  Files.writeString(stamp, hash);
}

void generate(String url, Path output) throws Exception {
  GenerationTool.generate(
      new Configuration()
          .withLogging(Logging.WARN)
          .withJdbc(new Jdbc().withDriver("org.postgresql.Driver").withUrl(url))
          .withGenerator(
              new Generator()
                  .withDatabase(
                      new Database()
                          .withName("org.jooq.meta.postgres.PostgresDatabase")
                          .withInputSchema("public")
                          .withOutputSchemaToDefault(true)
                          // Which months there are depends on the day.
                          .withExcludes(
                              "flyway_schema_history|cost_record_default|cost_record_\\d{4}_\\d{2}")
                          .withForcedTypes(
                              List.of(
                                  new ForcedType()
                                      .withName("INSTANT")
                                      .withIncludeTypes(
                                          "(?i:timestamp(\\(\\d\\))? with time zone|timestamptz)"))))
                  .withGenerate(
                      new Generate()
                          .withGlobalObjectReferences(true)
                          .withRecords(true)
                          .withPojos(false)
                          .withDaos(false)
                          // Both would differ from run to run or name the machine.
                          .withGeneratedAnnotation(false)
                          .withGeneratedAnnotationDate(false))
                  .withTarget(
                      new Target()
                          .withPackageName("dev.sandkeeper.jooq")
                          .withDirectory(output.toString()))));
}

String hash(Path migrations, Path program) throws Exception {
  MessageDigest digest = MessageDigest.getInstance("SHA-256");
  digest.update(org.jooq.Constants.FULL_VERSION.getBytes(StandardCharsets.UTF_8));
  digest.update(Files.readAllBytes(program));
  try (Stream<Path> files = Files.list(migrations)) {
    for (Path file : files.filter(path -> path.toString().endsWith(".sql")).sorted().toList()) {
      digest.update(file.getFileName().toString().getBytes(StandardCharsets.UTF_8));
      digest.update(Files.readAllBytes(file));
    }
  }
  return HexFormat.of().formatHex(digest.digest());
}

void execute(DataSource database, String... statements) throws Exception {
  try (Connection connection = database.getConnection();
      Statement statement = connection.createStatement()) {
    for (String sql : statements) {
      statement.execute(sql);
    }
  }
}

void deleteTree(Path folder) throws IOException {
  if (!Files.exists(folder)) {
    return;
  }
  try (Stream<Path> files = Files.walk(folder)) {
    files
        .sorted(Comparator.reverseOrder())
        .forEach(path -> {
          try {
            Files.delete(path);
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        });
  }
}
