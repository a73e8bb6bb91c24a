package dev.sandkeeper.server.execution;

import java.util.Optional;

/**
 * What came of a case.
 *
 * @param caseId the caller's id
 * @param verdict what is thought of it
 * @param program the program's run
 * @param check the check's run; empty when there was none
 */
public record TestResult(
    String caseId, Verdict verdict, ExecutionResult program, Optional<ExecutionResult> check) {}
