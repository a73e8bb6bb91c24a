package dev.sandkeeper.server.base;

/**
 * An open transaction, handed from the domain to the repositories it calls; what it holds is the
 * store's affair.
 */
public interface Transaction {}
