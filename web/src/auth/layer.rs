//! The guard in front of every route: authenticate, check the forgery rules, check the scope.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures::future::{BoxFuture, Either, ready};
use tower::{Layer, Service};

use super::{Auth, Principal, Scope, Scopes, Via, csrf, is_local, peer};
use crate::error::ApiError;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: login, health, the pages themselves.
    Public,
    /// A principal with this scope.
    Needs(Scope),
    /// As `Needs`, but requests from this machine pass without a credential.
    LocalOr(Scope),
    /// Any principal at all.
    Anyone,
}

/// A layer that lets only principals with `scope` pass and leaves a [`Principal`] among the
/// request's extensions. Also meant for the doors that take events in.
pub fn layer(auth: Auth, scope: Scope) -> RequireAccess {
    RequireAccess {
        auth,
        access: Access::Needs(scope),
    }
}

/// See [`layer`].
#[derive(Clone)]
pub struct RequireAccess {
    pub(crate) auth: Auth,
    pub(crate) access: Access,
}

impl<S> Layer<S> for RequireAccess {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            guard: self.clone(),
        }
    }
}

/// A service behind [`RequireAccess`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: RequireAccess,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(known) = self.guard.known(&request) else {
            return Either::Right(self.ask(request));
        };
        match self.guard.decide(&request, known) {
            Ok(principal) => {
                principal.map(|p| request.extensions_mut().insert(p));
                Either::Left(self.inner.call(request))
            }
            Err(refusal) => Either::Right(Box::pin(ready(Ok(refuse(refusal))))),
        }
    }
}

impl<S> Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// The slow way, for a credential that memory does not know.
    fn ask(&mut self, mut request: Request) -> BoxFuture<'static, Result<Response, Infallible>> {
        // The service that was polled ready is the one to call; its copy stays here.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let guard = self.guard.clone();
        Box::pin(async move {
            let found = guard.auth.authenticate(request.headers()).await;
            match guard.decide(&request, found) {
                Ok(principal) => {
                    principal.map(|p| request.extensions_mut().insert(p));
                    inner.call(request).await
                }
                Err(refusal) => Ok(refuse(refusal)),
            }
        })
    }
}

fn refuse(refusal: ApiError) -> Response {
    metrics::counter!("watchfire_auth_refusals_total", "code" => refusal.code()).increment(1);
    refusal.into_response()
}

impl RequireAccess {
    /// Who asks, where memory can tell; none when the database has to be asked.
    fn known(&self, request: &Request) -> Option<Result<Principal, ApiError>> {
        match self.access {
            Access::Public => Some(Err(ApiError::unauthenticated())),
            _ => self.auth.known(request.headers()),
        }
    }

    fn decide(
        &self,
        request: &Request,
        found: Result<Principal, ApiError>,
    ) -> Result<Option<Principal>, ApiError> {
        let (method, headers) = (request.method(), request.headers());
        let principal = match (self.access, found) {
            (Access::Public, _) => return csrf::check_public(method, headers).map(|()| None),
            (_, Ok(principal)) => principal,
            (Access::LocalOr(_), Err(_)) if is_local(headers, peer(request.extensions())) => {
                return Ok(Some(Principal::local()));
            }
            (_, Err(refusal)) => return Err(refusal),
        };
        if matches!(principal.via, Via::Session(_)) {
            csrf::check_session(method, headers)?;
        }
        match self.access {
            Access::Needs(scope) | Access::LocalOr(scope) if !principal.scopes.allows(scope) => {
                let detail = format!("this needs the scope {}", scope.as_str());
                Err(ApiError::forbidden("missing_scope", detail))
            }
            _ => Ok(Some(principal)),
        }
    }
}

impl Principal {
    fn local() -> Self {
        Principal {
            name: "local".into(),
            scopes: Scopes::NONE,
            via: Via::Loopback,
        }
    }
}
